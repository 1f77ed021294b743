// The left column: the picture with its cells, the question, the answers.

import { button, make, percent } from "./dom.mjs";
import { scene_canvas } from "./editor.mjs";
import { picture_map } from "./map.mjs";
import { bare } from "./record.mjs";

/** The maps of the shown run: for each picture its tiles, and its thumbnail. `values`: light, kind, mark (see map.mjs). */
export function maps(app, values) {
  const { record, state } = app;
  const select = (atom) =>
    app.set({ atom, position: state.tab === "prompt" || state.tab === "layers" ? state.position : null, word: null });
  return record.pictures.map((picture, number) => {
    const tiles = record.tiles.map((tile, i) => ({ ...tile, i })).filter((tile) => tile.picture === number);
    const parts = tiles.length > 1 ? tiles.slice(1) : tiles,
      source = app.source(number);
    const common = { record, source, selected: app.atom, select, hover: app.point, ...values };
    const whole =
      tiles.length > 1 &&
      picture_map({ ...common, tiles: [tiles[0].i], label: "Tile 0, the thumbnail", key: `map ${number} whole`, largest: 200 });
    return make(
      "figure",
      { class: "maps" },
      picture_map({ ...common, tiles: parts.map(({ i }) => i), label: `Picture ${number + 1} and its tiles`, key: `map ${number}` }),
      whole && make("div", { class: "thumbnail" }, whole, make("figcaption", {}, "tile 0: the whole picture in one tile")),
      values.says && make("figcaption", { class: "says" }, values.says),
    );
  });
}

/** What is known of a cell, in a line. */
export function describe_cell(app, atom) {
  const { record, state } = app;
  if (state.tab === "picture" && state.scene) return "Drag a shape to move it. Drag on empty ground to draw one.";
  if (!record || atom === null || atom === undefined) return "Point at a cell, or choose one.";
  const { patches, stride } = app.data.sizes,
    numbers = record.patches_of(atom, patches, stride).join(", ");
  return `${record.named(atom)} · patches ${numbers} · token ${record.positions[atom]} of the prompt${word_of(app, atom)}`;
}

function word_of(app, atom) {
  if (!app.record.words) return "";
  const [[word, chance]] = app.record.words_of(atom),
    meaning = app.meaning(word);
  return ` · likeliest word ${word}${meaning ? ` (${meaning})` : ""} ${percent(chance)}`;
}

/** The editor, where the picture can be changed; else the maps. */
export function picture_part(app, values) {
  const { state } = app;
  if (state.tab === "picture" && state.scene)
    return scene_canvas({
      scene: state.scene,
      brush: state.brush,
      selected: state.shape,
      select: (shape) => app.set({ shape }),
      change: (scene, done) => done && app.set_scene(scene),
    });
  return app.record ? maps(app, values) : null;
}

/** The question, with its suggestions. */
export function question_part(app) {
  const { state, data } = app;
  if (!app.live)
    return make("div", { class: "question" }, make("p", { class: "label" }, "Question"), make("p", { class: "asked" }, data.question));
  const field = make("input", {
    id: "question",
    type: "text",
    maxlength: 300,
    value: state.question,
    autocomplete: "off",
    key: "question",
    list: "suggestions",
  });
  const ask = (event) => {
    event.preventDefault();
    app.ask({ question: field.value });
  };
  return make(
    "form",
    { class: "question", on: { submit: ask } },
    make("label", { class: "label", for: "question" }, "Question"),
    make("div", { class: "row" }, field, make("button", { type: "submit", class: "primary", key: "ask" }, "Ask")),
    make(
      "datalist",
      { id: "suggestions" },
      data.questions.map((question) => make("option", { value: question })),
    ),
    make(
      "div",
      { class: "suggestions" },
      data.questions
        .slice(0, 4)
        .map((question) => button(question, () => app.ask({ question }), { class: "suggestion", key: `suggest ${question}` })),
    ),
  );
}

/** The answers: the first run's, and beside it the changed one's. Each token can be chosen. */
export function answer_part(app) {
  const { state } = app,
    changed = app.changed();
  const rows = [["first", changed ? "Answer, unchanged" : "Answer"], ...(changed ? [["second", "Answer, changed"]] : [])];
  return make(
    "div",
    { class: "answers", "aria-live": "polite" },
    rows.map(([which, title]) => one_answer(app, which, title)),
    state.error && make("p", { class: "error", role: "alert" }, state.error),
  );
}

/** Which of `steps` a longest common part of both answers has: the others differ. */
function common_steps(steps, others) {
  const longest = Array.from({ length: steps.length + 1 }, () => new Array(others.length + 1).fill(0));
  for (let i = steps.length - 1; i >= 0; i--)
    for (let j = others.length - 1; j >= 0; j--)
      longest[i][j] = steps[i].id === others[j].id ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const common = new Set();
  for (let i = 0, j = 0; i < steps.length && j < others.length;)
    if (steps[i].id === others[j].id) common.add((j++, i++));
    else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
    else j++;
  return common;
}

function one_answer(app, which, title) {
  const { state } = app,
    record = app.records[which],
    streaming = state.streaming?.which === which ? state.streaming.texts : null;
  const shown = which === state.shown,
    other = app.records[which === "first" ? "second" : "first"];
  const steps = streaming ? [] : (record?.steps ?? []);
  const common = app.changed() && record && other ? common_steps(record.steps, other.steps) : null;
  const token = (step, i) => {
    const differs = common && !common.has(i);
    const act = () => app.set({ tab: "answer", shown: which, step: i, position: null });
    const chance = step.layers.at(-1)?.chosen,
      options = {
        class: `token answer${differs ? " differs" : ""}`,
        key: `${which} ${i}`,
        title: chance === undefined ? "" : `chosen with ${percent(chance)}`,
      };
    if (shown && state.tab === "answer" && state.step === i) options["aria-current"] = "true";
    return button(bare(step.text), act, options);
  };
  const text = streaming?.map(bare).map((one) => make("span", { class: "token answer" }, one));
  return make(
    "div",
    { class: `one-answer${shown ? " shown" : ""}` },
    make(
      "p",
      { class: "label" },
      title,
      app.changed() &&
        record &&
        !shown &&
        button("look at this one", () => app.set({ shown: which }), { class: "link", key: `look ${which}` }),
      app.changed() && shown && make("span", { class: "note" }, " shown on this page"),
    ),
    make("p", { class: "answer-text" }, text ?? steps.map(token), streaming && make("span", { class: "cursor", "aria-hidden": "true" })),
  );
}
