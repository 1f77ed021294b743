// The panels of the language model: prompt and attention, layers and heads, answer and logit lens.

import { bar, button, choice, make, percent } from "./dom.mjs";
import { KINDS } from "./map.mjs";
import { left_out } from "./panels.mjs";
import { bare, range, visible } from "./record.mjs";

/** The token whose attention is shown: the chosen one, else the one that predicts the chosen step of the answer. */
export function shown_position(app) {
  const { record, state } = app;
  if (state.position !== null && state.position < record.tokens.length) return state.position;
  return record.prompt_length - 1 + Math.min(state.step, Math.max(record.steps.length - 1, 0));
}

/** The weights that are drawn for the shown token: for each token a share of 1, or null where it was left out. */
export function shown_weights(app) {
  const { record, state } = app;
  return record.weights(state.layer, state.head, shown_position(app), state.direction === "to");
}

/** A line about the map of the shown weights. */
export function attention_says(app) {
  const { record, state } = app,
    token = record.tokens[shown_position(app)],
    name = token.atom === null ? `“${visible(token.text)}”` : record.named(token.atom);
  const heads =
    state.layer === null && state.head === null
      ? "all heads"
      : `${state.layer === null ? "all layers" : `layer ${state.layer}`}, ${state.head === null ? "all heads" : `head ${state.head}`}`;
  return state.direction === "from"
    ? `Bright: where ${name} (token ${token.position}) looks, in per cent; ${heads}.`
    : `Bright: what looks at ${name} (token ${token.position}), in per cent; ${heads}.`;
}

/** The choice of layer, head and direction. */
function attention_controls(app) {
  const { record, state } = app,
    { layers, heads } = record.attention;
  const number = (text) => (text === "" ? null : Number(text));
  return make(
    "div",
    { class: "row controls" },
    choice(
      "Layer",
      [["", "mean of all"], ...range(layers).map((i) => [i, String(i)])],
      state.layer ?? "",
      (value) => app.set({ layer: number(value) }),
      "layer",
    ),
    choice(
      "Head",
      [["", "mean of all"], ...range(heads).map((i) => [i, String(i)])],
      state.head ?? "",
      (value) => app.set({ head: number(value) }),
      "head",
    ),
    choice(
      "Direction",
      [
        ["from", "what it looks at"],
        ["to", "what looks at it"],
      ],
      state.direction,
      (direction) => app.set({ direction }),
      "direction",
    ),
  );
}

/** The prompt as tokens, coloured by the attention of the chosen one. */
export function prompt_panel(app) {
  const { record, state } = app;
  if (!record?.attention) return left_out(record);
  const position = shown_position(app),
    weights = shown_weights(app),
    known = weights.map((weight) => weight ?? 0);
  const most = Math.max(...known.filter((_, i) => i !== position || state.direction === "from"), 1e-9);
  const token = record.tokens[position],
    missing = state.direction === "from" && !record.has_attention(position);
  const heading = token.atom === null ? `“${visible(token.text)}”` : record.named(token.atom);
  return [
    attention_controls(app),
    make(
      "p",
      { "aria-live": "polite" },
      make("b", {}, heading),
      ` (token ${position}${chooses(record, position)})`,
      state.direction === "from" ? " looks at:" : " is looked at by:",
      missing && make("span", { class: "error" }, " this recording has no attention of this token; choose one of the answer."),
    ),
    make("div", { class: "prompt", role: "group", "aria-label": "The prompt and the answer" }, prompt_tokens(app, known, most, position)),
    make(
      "div",
      { class: "columns" },
      make("div", {}, make("h3", {}, "The strongest"), strongest(app, weights)),
      make("div", {}, make("h3", {}, "By part"), shares(app, known)),
    ),
    make(
      "p",
      { class: "note" },
      "Attention says where a head takes values from. It does not say what the model does with them, and it is no explanation of an answer by itself: remove what it looks at (Intervene) and see whether the answer changes.",
    ),
    app.live &&
      make(
        "div",
        { class: "row" },
        button(`Mask token ${position}`, () => app.hide([position]), { key: "mask" }),
      ),
  ];
}

/** What a token's last hidden state chooses, if it does. */
function chooses(record, position) {
  const next = record.tokens[position + 1];
  return position >= record.prompt_length - 1 && next ? `, which chooses “${visible(next.text)}”` : "";
}

function prompt_tokens(app, weights, most, position) {
  const { record, state } = app,
    shown = [];
  const chip = (token, extra = "") => {
    const weight = weights[token.position],
      hidden = state.changes.hidden.includes(token.position),
      text = visible(token.text);
    const options = {
      class: `token ${token.kind}${hidden ? " masked" : ""}${extra}`,
      key: `token ${token.position}`,
      style: { "--weight": Math.sqrt(weight / most).toFixed(3) },
      title: `token ${token.position}: ${text} · ${percent(weight)}`,
      "aria-label": `token ${token.position}, ${text}, ${percent(weight)}`,
      "aria-pressed": String(token.position === position),
    };
    const made = button("", () => app.set({ position: token.position, ...(token.atom === null ? {} : { atom: token.atom }) }), options);
    if (token.atom === null) made.append(...spaced(text));
    return made;
  };
  for (let i = 0; i < record.tokens.length; i++) {
    const token = record.tokens[i];
    if (token.atom !== null) {
      const { tile } = record.place(token.atom),
        atoms = record.atoms(tile),
        open = state.unfolded === tile && atoms.length <= 64;
      const sum = atoms.reduce((sum, atom) => sum + weights[record.positions[atom]], 0),
        inside = atoms.some((atom) => record.positions[atom] === position);
      const fold = button(
        `tile ${tile} · ${atoms.length}`,
        () => app.set({ unfolded: state.unfolded === tile ? null : tile, atom: atoms.includes(state.atom) ? state.atom : atoms[0] }),
        {
          class: `token fold${inside ? " inside" : ""}`,
          key: `fold ${tile}`,
          "aria-expanded": String(open),
          style: { "--weight": Math.sqrt(sum / Math.max(most, sum)).toFixed(3) },
          title: `the ${atoms.length} tokens of tile ${tile}: ${percent(sum)} together`,
        },
      );
      shown.push(
        make(
          "span",
          { class: "folded" },
          fold,
          open &&
            make(
              "span",
              { class: "cells", style: { "--side": record.side } },
              atoms.map((atom) => chip(record.tokens[record.positions[atom]], " cell")),
            ),
        ),
      );
      i += atoms.length - 1;
    } else {
      if (token.kind === "start" && token.position > 0) shown.push(make("span", { class: "break" }));
      shown.push(chip(token));
      if (token.text.endsWith("\n") || token.kind === "row" || token.kind === "grid") shown.push(make("span", { class: "break" }));
    }
  }
  return shown;
}

/** A text whose marks for spaces are fainter than the rest. */
const spaced = (text) =>
  text
    .split(/(␣|⏎)/)
    .filter(Boolean)
    .map((part) => (part === "␣" || part === "⏎" ? make("span", { class: "space" }, part) : part));

function strongest(app, weights) {
  const { record } = app;
  const best = weights
    .map((weight, i) => [i, weight ?? 0])
    .filter(([, weight]) => weight > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 8);
  const name = (token) => (token.atom === null ? visible(token.text) : record.named(token.atom));
  return make(
    "table",
    { class: "bars" },
    make(
      "tbody",
      {},
      best.map(([i, weight]) =>
        make(
          "tr",
          {},
          make(
            "th",
            { scope: "row" },
            button(name(record.tokens[i]), () => app.set({ position: i, atom: record.tokens[i].atom ?? app.state.atom }), {
              class: "word",
              key: `strong ${i}`,
            }),
          ),
          make("td", { class: "wide" }, bar(weight, best[0][1])),
        ),
      ),
    ),
  );
}

/** The parts that tokens belong to. */
const PARTS = {
  thumbnail: "the thumbnail",
  tiles: "the tiles",
  layout: "the layout's marks",
  text: "the text",
  answer: "the answer so far",
};

function part_of(record, token) {
  if (token.atom !== null) return record.tiles[record.place(token.atom).tile].thumbnail ? "thumbnail" : "tiles";
  if (token.kind === "answer") return "answer";
  return token.kind === "text" || token.kind === "control" ? "text" : "layout";
}

function sums(record, weights) {
  const total = Object.fromEntries(Object.keys(PARTS).map((part) => [part, 0]));
  record.tokens.forEach((token, i) => (total[part_of(record, token)] += weights[i] ?? 0));
  return total;
}

function shares(app, weights) {
  const total = sums(app.record, weights),
    most = Math.max(...Object.values(total), 1e-9);
  return make(
    "table",
    { class: "bars" },
    make(
      "tbody",
      {},
      Object.entries(PARTS).map(([part, name]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "wide" }, bar(total[part], Math.max(most, 1)))),
      ),
    ),
  );
}

/** All heads of all layers: how much of the shown token's attention goes to the picture; each can be looked through, and switched off. */
export function layers_panel(app) {
  const { record, state } = app;
  if (!record?.attention) return left_out(record);
  const position = shown_position(app),
    { layers, heads } = record.attention,
    token = record.tokens[position];
  if (!record.has_attention(position))
    return [make("p", { class: "error" }, "This recording has no attention of this token. Choose one of the answer.")];
  const off = (layer, head) => state.changes.heads.some(([l, h]) => l === layer && h === head);
  const cell = (layer, head) => {
    const picture = record.on_picture(layer, head, position);
    const options = {
      class: `head${off(layer, head) ? " off" : ""}`,
      pressed: state.layer === layer && state.head === head,
      key: `head ${layer} ${head}`,
      style: { "--weight": picture.toFixed(3) },
      "aria-label": `layer ${layer}, head ${head}: ${percent(picture)} on the picture`,
      title: `layer ${layer}, head ${head}: ${percent(picture)} on the picture`,
    };
    return make(
      "td",
      {},
      button(layers * heads > 80 ? "" : `${Math.round(100 * picture)}`, () => app.set({ layer, head }), options),
    );
  };
  const chosen = state.layer !== null && state.head !== null;
  return [
    make(
      "p",
      {},
      "Each square is a head: the darker, the more of the attention of ",
      make("b", {}, token.atom === null ? `“${visible(token.text)}”` : record.named(token.atom)),
      ` (token ${position}${chooses(record, position)}) goes to the picture, in per cent. Choose a head to see on the map where it looks.`,
    ),
    make(
      "div",
      { class: "scroll" },
      make(
        "table",
        { class: "heads" },
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            make("td", {}),
            range(heads).map((head) => make("th", { scope: "col" }, `${layers * heads > 80 ? "" : "head "}${head}`)),
          ),
        ),
        make(
          "tbody",
          {},
          range(layers).map((layer) =>
            make(
              "tr",
              {},
              make("th", { scope: "row" }, `layer ${layer}`),
              range(heads).map((head) => cell(layer, head)),
            ),
          ),
        ),
      ),
    ),
    attention_controls(app),
    chosen &&
      make(
        "div",
        { class: "columns" },
        make("div", {}, make("h3", {}, `Layer ${state.layer}, head ${state.head}: the strongest`), strongest(app, shown_weights(app))),
        make("div", {}, make("h3", {}, "By part"), shares(app, shown_weights(app))),
      ),
    app.live &&
      chosen &&
      make(
        "div",
        { class: "row" },
        button(
          off(state.layer, state.head) ? "Switch this head on" : "Switch this head off",
          () => app.toggle_head(state.layer, state.head),
          { key: "toggle head" },
        ),
      ),
  ];
}

/** A token of the answer: its likeliest alternatives, and how they rose from layer to layer. */
export function answer_panel(app) {
  const { record, state } = app;
  if (!record?.steps.length) return left_out(record);
  const step = record.steps[Math.min(state.step, record.steps.length - 1)],
    final = step.layers.at(-1);
  const rows = final.top.map(({ id, text, chance }) =>
    make(
      "tr",
      { class: id === step.id ? "best" : "" },
      make("th", { scope: "row" }, visible(text)),
      make("td", { class: "wide" }, bar(chance)),
    ),
  );
  const steps = record.steps.map((one, i) =>
    button(bare(one.text), () => app.set({ step: i, position: null }), {
      class: "token answer",
      key: `step ${i}`,
      "aria-current": one === step ? "true" : null,
    }),
  );
  return [
    make("div", { class: "row tokens", role: "group", "aria-label": "The answer's tokens" }, steps),
    make(
      "div",
      { class: "columns" },
      make(
        "div",
        {},
        make("h3", {}, `The ten likeliest tokens at ${step.position}`),
        make("table", { class: "bars" }, make("tbody", {}, rows)),
      ),
      step.layers.length > 1 && make("div", {}, make("h3", {}, "How they rose: the logit lens"), lens_chart(step), lens_table(step)),
    ),
    make(
      "p",
      { class: "note" },
      "The logit lens passes each layer's hidden state through the final norm and head, as if the model ended there. The layers were not trained for that: an early layer may hold the answer in a form that this lens can't read. Only the last layer's chances are the model's own.",
    ),
  ];
}

function lens_chart(step) {
  const width = 420,
    height = 200,
    left = 40,
    bottom = 24,
    last = step.layers.length - 1,
    final = step.layers.at(-1);
  const tokens = final.top.slice(0, 5),
    x = (layer) => left + (layer / Math.max(last, 1)) * (width - left - 12),
    y = (chance) => 10 + (1 - chance) * (height - bottom - 10);
  const chance = (layer, id) => layer.top.find((one) => one.id === id)?.chance ?? (id === step.id ? layer.chosen : 0);
  const lines = tokens.map(({ id }, i) =>
    make("polyline", {
      points: step.layers.map((layer) => `${x(layer.layer)},${y(chance(layer, id))}`).join(" "),
      fill: "none",
      stroke: KINDS[i],
      "stroke-width": id === step.id ? 3.5 : 2,
      "stroke-dasharray": ["", "6 3", "2 3", "9 3 2 3", "1 4"][i] || null,
    }),
  );
  const grid = [0, 0.5, 1].flatMap((share) => [
    make("line", { x1: left, x2: width - 12, y1: y(share), y2: y(share), class: "rule" }),
    make("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
  ]);
  const labels = step.layers
    .filter((_, i) => last < 8 || i % Math.ceil(last / 6) === 0 || i === last)
    .map(({ layer }) => make("text", { x: x(layer), y: height - 4, "text-anchor": "middle" }, layer === 0 ? "input" : String(layer)));
  const legend = tokens.map(({ text, id }, i) =>
    make(
      "li",
      {},
      make("span", { class: "line", style: { "--colour": KINDS[i] } }),
      ` ${visible(text)}`,
      id === step.id && make("span", { class: "note" }, " (chosen)"),
    ),
  );
  return make(
    "figure",
    { class: "chart" },
    make(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `The chances of the likeliest tokens after each of ${last} layers; the table has the numbers`,
      },
      grid,
      lines,
      labels,
    ),
    make("figcaption", {}, make("ul", { class: "legends inline" }, legend)),
  );
}

function lens_table(step) {
  const row = (layer) => {
    const [best] = layer.top;
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, layer.layer === 0 ? "input" : `layer ${layer.layer}`),
      make("td", {}, `${visible(best.text)} ${percent(best.chance)}`),
      make("td", {}, percent(layer.chosen)),
    );
  };
  return make(
    "details",
    {},
    make("summary", {}, "The numbers"),
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
            ["after", "likeliest", `“${visible(step.text)}”`].map((one) => make("th", { scope: "col" }, one)),
          ),
        ),
        make("tbody", {}, step.layers.map(row)),
      ),
    ),
  );
}
