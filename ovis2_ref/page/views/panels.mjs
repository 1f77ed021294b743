// The panels of the picture's stations: picture, grid, tiles, patches, visual tokens, embeddings.

import { candidate_grids } from "../model/picture.mjs";
import { bar, button, make, percent } from "./dom.mjs";
import { scene_tools } from "./editor.mjs";
import { canvas_of, read_picture } from "./files.mjs";
import { KINDS } from "./map.mjs";

/** The picture: tools to draw one, samples, a file. */
export function picture_panel(app) {
  const { state, data } = app;
  if (!app.live)
    return [
      make("p", {}, `This page carries a recording of one run of ${data.model.name}, with ${data.model.parameters} parameters.`),
      list_left_out(data),
    ];
  const file = make("input", {
    type: "file",
    accept: "image/*",
    id: "file",
    class: "visually-hidden",
    on: { change: () => file.files[0] && app.take_file(file.files[0], read_picture) },
  });
  const samples = data.samples.map((sample, i) => {
    const made = button("", () => app.take_sample(i), {
      class: "sample",
      "aria-label": `Sample ${i + 1}: ${sample.name}`,
      title: sample.name,
      key: `sample ${i}`,
    });
    made.append(canvas_of(app.samples[i]));
    return made;
  });
  return [
    state.scene
      ? scene_tools({
          scene: state.scene,
          scenes: data.scenes,
          brush: state.brush,
          selected: state.shape,
          set_brush: (brush) => app.set({ brush }),
          set_scene: (scene, shape) => app.set_scene(scene, shape),
        })
      : make(
          "p",
          {},
          "This picture comes from a file. ",
          button("Draw a scene instead", () => app.new_scene(), { key: "draw" }),
        ),
    make("h3", {}, "Another picture"),
    make("div", { class: "row samples" }, samples),
    make(
      "p",
      {},
      file,
      make("label", { for: "file", class: "button" }, "Open a picture file"),
      make("span", { class: "note" }, " or drop one anywhere on this page. It stays in this page."),
    ),
    make("p", { class: "note" }, data.model.knows),
  ];
}

function list_left_out({ left_out }) {
  if (!left_out.length) return null;
  return make(
    "div",
    {},
    make("h3", {}, "What is left out"),
    make(
      "ul",
      {},
      left_out.map((one) => make("li", {}, one)),
    ),
  );
}

/** The grid: every grid that was tried, with the share of pixels that it keeps. */
export function grid_panel(app) {
  const { record, data } = app,
    { side, max_tiles, threshold } = data.image;
  if (!record) return [];
  return record.pictures.map((picture, number) => {
    const { height, width, grid } = picture;
    if (threshold === null)
      return make(
        "p",
        {},
        `The grid is ${grid[0]} rows × ${grid[1]} columns. It was not found by the covering area, so the other grids are not shown.`,
      );
    const candidates = candidate_grids(height, width, side, max_tiles),
      searched = data.image.transposed ? [grid[1], grid[0]] : grid;
    const rows = candidates.map(({ grid: [a, b], kept }) => {
      const best = a === searched[0] && b === searched[1],
        [rows, columns] = data.image.transposed ? [b, a] : [a, b];
      return make(
        "tr",
        { class: best ? "best" : "" },
        make("th", { scope: "row" }, `${rows} × ${columns}`),
        make("td", {}, String(a * b)),
        make("td", { class: "wide" }, bar(kept)),
        make("td", {}, best ? "chosen" : kept > threshold ? "enough" : ""),
      );
    });
    return make(
      "div",
      {},
      make(
        "p",
        {},
        `Picture ${number + 1}: ${height} × ${width} pixels (height × width). A tile has ${side} × ${side}. A grid has to keep more than ${percent(threshold)} of the pixels.`,
      ),
      data.image.transposed &&
        height !== width &&
        make(
          "p",
          { class: "note" },
          "transformers takes the search's (rows, columns) as (columns, rows), so the grid of the stretched picture is transposed: a tall picture is cut into columns. The model was trained with it.",
        ),
      make(
        "div",
        { class: "scroll tall" },
        make(
          "table",
          {},
          make(
            "thead",
            {},
            make(
              "tr",
              {},
              ["rows × columns", "tiles", "pixels kept", ""].map((one) => make("th", { scope: "col" }, one)),
            ),
          ),
          make("tbody", {}, rows),
        ),
      ),
    );
  });
}

/** The tiles as the model sees them. */
export function tiles_panel(app) {
  const { record, state } = app;
  if (!record) return [];
  const chosen = state.atom === null ? null : record.place(state.atom).tile;
  const tiles = record.tiles.map((tile, number) => {
    const select = () => app.set({ atom: number * record.per_tile });
    const hidden = record.atoms(number).every((atom) => state.changes.hidden.includes(record.positions[atom]));
    const made = button("", select, {
      class: `tile${hidden ? " hidden-tile" : ""}`,
      pressed: number === chosen,
      key: `tile ${number}`,
      "aria-label": `Tile ${number}`,
    });
    made.append(app.tile_image(number), make("span", {}, number === 0 && record.tiles.length > 1 ? "0: thumbnail" : `${number}`));
    return made;
  });
  const detail = chosen !== null && [
    make(
      "p",
      {},
      `Tile ${chosen} shows the pixels ${region_text(record.tiles[chosen].region)} of the picture. Its ${record.per_tile} visual tokens are at ${record.positions[chosen * record.per_tile]} to ${record.positions[(chosen + 1) * record.per_tile - 1]} of the prompt.`,
    ),
    app.live &&
      make(
        "div",
        { class: "row" },
        button("Remove this tile", () => app.hide(record.atoms(chosen).map((atom) => record.positions[atom])), { key: "remove tile" }),
        button("Swap it with the next", () => app.swap(chosen, (chosen + 1) % record.tiles.length), {
          key: "swap tile",
          disabled: record.tiles.length < 2,
        }),
      ),
  ];
  const crops =
    app.data.image.crops &&
    make(
      "p",
      { class: "note" },
      "This run follows the authors' convention: a tile is cut from the picture first, then resized with its aspect ratio kept, and padded to a square.",
    );
  return [crops, make("div", { class: "tiles" }, tiles), detail || make("p", { class: "note" }, "Choose a tile.")];
}

const region_text = ({ left, upper, right, lower }) =>
  `${Math.round(upper)} to ${Math.round(lower)} from the top and ${Math.round(left)} to ${Math.round(right)} from the left`;

/** One tile, its patches and the squares of patches that are merged; the chosen cell enlarged. */
export function patches_panel(app) {
  const { record, data } = app,
    { patches, stride, vision_hidden, side } = data.sizes;
  if (!record) return [];
  const atom = app.atom ?? 0,
    { tile, row, column } = record.place(atom),
    count = Math.sqrt(patches),
    size = 320,
    ratio = 2;
  const canvas = make("canvas", {
    width: size * ratio,
    height: size * ratio,
    role: "img",
    "aria-label": `Tile ${tile} with its ${patches} patches`,
  });
  const context = canvas.getContext("2d"),
    image = app.tile_image(tile),
    step = (size * ratio) / count;
  context.imageSmoothingEnabled = false;
  app.when_ready(image, () => {
    context.drawImage(image, 0, 0, size * ratio, size * ratio);
    for (let i = 0; i <= count; i++) {
      const whole = i % stride === 0,
        place = Math.min(Math.max(i * step, 1), size * ratio - 1);
      for (const [colour, width] of [
        ["rgba(13,17,25,.6)", whole ? 4 : 2],
        [whole ? "#fff" : "rgba(255,255,255,.7)", whole ? 3 : 1.5],
      ]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.beginPath();
        (context.moveTo(place, 0), context.lineTo(place, size * ratio), context.moveTo(0, place), context.lineTo(size * ratio, place));
        context.stroke();
      }
    }
    context.lineWidth = 6;
    context.strokeStyle = "#ffb000";
    context.strokeRect(column * stride * step + 3, row * stride * step + 3, stride * step - 6, stride * step - 6);
  });
  const numbers = record.patches_of(atom, patches, stride),
    patch = side / count;
  const pictures = numbers.map((number) => {
    const small = make("canvas", { width: 96, height: 96 }),
      x = (number % count) * patch,
      y = Math.floor(number / count) * patch;
    const draw = small.getContext("2d");
    draw.imageSmoothingEnabled = false;
    app.when_ready(image, () => draw.drawImage(image, x, y, patch, patch, 0, 0, 96, 96));
    return make("figure", { class: "patch" }, small, make("figcaption", {}, `patch ${number}`));
  });
  return [
    make(
      "div",
      { class: "columns" },
      make("div", { class: "fixed" }, canvas),
      make(
        "div",
        {},
        make(
          "p",
          {},
          `Tile ${tile} has ${count} × ${count} patches of ${Math.round(patch)} × ${Math.round(patch)} pixels (thin lines). Each becomes ${vision_hidden} numbers.`,
        ),
        make(
          "p",
          {},
          `${stride} × ${stride} neighbours (thick lines) are laid side by side: ${stride * stride} · ${vision_hidden} = ${(stride * stride * vision_hidden).toLocaleString("en")} numbers, from which one visual token is made. Choose a cell on the picture.`,
        ),
        make("div", { class: "row patches" }, pictures),
        make("p", { class: "note" }, `${record.named(atom)} becomes the visual token at ${record.positions[atom]} of the prompt.`),
      ),
    ),
  ];
}

/** What a panel says that has nothing to show. */
export const left_out = (record) => (record ? [make("p", { class: "note" }, "This recording has left it out.")] : []);

/** The distribution of a visual token, and where a word is used. */
export function words_panel(app) {
  const { record } = app;
  if (!record?.words) return left_out(record);
  return make("div", { class: "words" }, distribution(app, app.atom), words_of_the_picture(app));
}

/** The likeliest words of one visual token, and how unsure it is. */
function distribution(app, chosen) {
  const { record, state } = app,
    { word } = state;
  const rows = record.words_of(chosen).map(([one, chance]) =>
    make(
      "tr",
      { class: one === word ? "best" : "" },
      make(
        "th",
        { scope: "row" },
        button(String(one), () => app.set({ word: one === word ? null : one }), {
          class: "word",
          pressed: one === word,
          key: `word ${one}`,
        }),
      ),
      make("td", { class: "meaning" }, app.meaning(one) ?? ""),
      make("td", { class: "wide" }, bar(chance)),
    ),
  );
  const spread = 2 ** record.entropy(chosen),
    count = record.words.count;
  return make(
    "div",
    {},
    make("h3", {}, `The visual token of ${record.named(chosen)}`),
    make(
      "p",
      {},
      `Entropy ${record.entropy(chosen).toFixed(2)} bits of at most ${Math.log2(count).toFixed(2)}: as unsure as between ${spread.toFixed(spread < 10 ? 1 : 0)} words of ${count.toLocaleString("en")}.`,
    ),
    make(
      "table",
      { class: "bars" },
      make(
        "thead",
        { class: "visually-hidden" },
        make(
          "tr",
          {},
          ["word", "meaning", "chance"].map((one) => make("th", { scope: "col" }, one)),
        ),
      ),
      make("tbody", {}, rows),
    ),
    app.live &&
      make(
        "div",
        { class: "row" },
        word !== null
          ? button(`Make this cell word ${word}`, () => app.replace_word(chosen, word), { key: "replace" })
          : make("p", { class: "note" }, "Choose a word to see where it is used, or to put it into another cell."),
      ),
  );
}

/** The likeliest words of all cells, in the colours of the map. */
function words_of_the_picture(app) {
  const { record, state } = app,
    { word } = state,
    colours = word_colours(record);
  const swatches = record.common_words(9).map(([one, cells]) =>
    make(
      "li",
      {},
      button("", () => app.set({ word: one === word ? null : one }), {
        class: "legend",
        pressed: one === word,
        key: `common ${one}`,
        "aria-label": `word ${one}, likeliest in ${cells} cells`,
        style: { "--colour": colours.get(one) ?? "transparent" },
      }),
      ` ${one} `,
      make("span", { class: "meaning" }, app.meaning(one) ?? ""),
      make("span", { class: "note cells-count" }, cells === 1 ? "1 cell" : `${cells} cells`),
    ),
  );
  return make(
    "div",
    {},
    make("h3", {}, word === null ? "The likeliest word of each cell" : `Where word ${word} is used`),
    make(
      "p",
      { class: "note" },
      word === null
        ? "The map shows these words in colour, all but the commonest."
        : `The map is bright where the word is likely. Largest chance: ${percent(Math.max(...record.positions.map((_, atom) => record.chance(atom, word))))}.`,
    ),
    make("ul", { class: "legends" }, swatches),
    word !== null && button("Show all words", () => app.set({ word: null }), { key: "all words" }),
    app.data.meanings.length > 0 &&
      make(
        "p",
        { class: "note" },
        `The first ${app.data.meanings.length} words of this model were taught these meanings. The others were not taught any.`,
      ),
  );
}

/** The colours of the likeliest words of most cells; the commonest, the ground's, has none. */
export function word_colours(record) {
  return new Map(
    record
      .common_words(9)
      .slice(1)
      .map(([word], i) => [word, KINDS[i]]),
  );
}

/** The atom that is surest of its word among those whose word is not the commonest one. */
export function most_certain(record) {
  const [[ground]] = record.common_words(1);
  let best = 0,
    largest = -1;
  for (let atom = 0; atom < record.positions.length; atom++) {
    const [[word, chance]] = record.words_of(atom);
    if (word !== ground && chance > largest) [best, largest] = [atom, chance];
  }
  return best;
}

/** The embedding of a visual token, and the cells whose embeddings are like it. */
export function embeddings_panel(app) {
  const { record, data } = app,
    { hidden } = data.sizes;
  if (!record?.words) return left_out(record);
  const { atom } = app,
    parts = record.words_of(atom).slice(0, 6);
  const sum = parts.flatMap(([word, chance], i) => [i ? " + " : "", make("b", {}, chance.toFixed(3)), ` · table[${word}]`]);
  const head = [make("h3", {}, `The embedding of ${record.named(atom)}`), make("p", { class: "formula" }, "e = ", sum, " + …")];
  if (!record.visual)
    return [...head, make("p", { class: "note" }, `Its ${hidden.toLocaleString("en")} numbers are left out of this recording.`)];
  const numbers = record.visual.subarray(atom * hidden, (atom + 1) * hidden),
    most = numbers.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  const canvas = make("canvas", {
    width: hidden * 5,
    height: 46,
    class: "stripes",
    role: "img",
    "aria-label": `${hidden} numbers from ${(-most).toFixed(2)} to ${most.toFixed(2)}`,
  });
  const context = canvas.getContext("2d");
  numbers.forEach((one, i) => {
    context.fillStyle = one > 0 ? `rgba(230, 130, 0, ${one / most})` : `rgba(0, 114, 178, ${-one / most})`;
    context.fillRect(i * 5, 0, 5, 46);
  });
  const alike = record.positions
    .map((_, other) => [other, cosine(record.visual, atom, other, hidden)])
    .filter(([other]) => other !== atom)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 5);
  return [
    ...head,
    make("div", { class: "scroll" }, canvas),
    make(
      "p",
      { class: "note" },
      `Its ${hidden} numbers: orange above 0, blue below, strongest at ±${most.toFixed(2)}. The map is bright where another cell's embedding points the same way.`,
    ),
    make("h3", {}, "The cells that are most like it"),
    make(
      "table",
      { class: "bars" },
      make(
        "tbody",
        {},
        alike.map(([other, like]) =>
          make(
            "tr",
            {},
            make(
              "th",
              { scope: "row" },
              button(record.named(other), () => app.set({ atom: other }), { class: "word", key: `like ${other}` }),
            ),
            make("td", {}, `cosine ${like.toFixed(3)}`),
          ),
        ),
      ),
    ),
  ];
}

/** The cosine of the angle between two visual embeddings. */
export function cosine(visual, a, b, hidden) {
  let product = 0,
    first = 0,
    second = 0;
  for (let i = 0; i < hidden; i++) {
    const x = visual[a * hidden + i],
      y = visual[b * hidden + i];
    product += x * y;
    first += x * x;
    second += y * y;
  }
  return product / Math.sqrt(first * second);
}
