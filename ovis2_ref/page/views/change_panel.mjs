// Interventions: a list of changes, and a form for each kind.

import { button, choice, make } from "./dom.mjs";
import { range, visible } from "./record.mjs";

export const NO_CHANGES = { hidden: [], words: [], swapped: [], heads: [] };

/** The changes as lines of text, each with what remains without it. */
function lines(app) {
  const { changes } = app.state,
    record = app.records.first,
    without = (kind, i) => ({ ...changes, [kind]: changes[kind].filter((_, other) => other !== i) });
  const hidden = new Set(changes.hidden),
    tiles = record.tiles.map((_, tile) => tile).filter((tile) => record.atoms(tile).every((atom) => hidden.has(record.positions[atom])));
  const of_tiles = new Set(tiles.flatMap((tile) => record.atoms(tile).map((atom) => record.positions[atom])));
  return [
    ...tiles.map((tile) => [
      `Tile ${tile} is removed: no other token sees its ${record.per_tile} tokens.`,
      { ...changes, hidden: changes.hidden.filter((position) => !record.atoms(tile).some((atom) => record.positions[atom] === position)) },
    ]),
    ...changes.hidden
      .filter((position) => !of_tiles.has(position))
      .map((position) => [
        `Token ${position} “${visible(record.tokens[position].text)}” is masked: no other token sees it.`,
        { ...changes, hidden: changes.hidden.filter((one) => one !== position) },
      ]),
    ...changes.words.map(([atom, word], i) => [
      `The visual token of ${record.named(atom)} is word ${word} alone${app.meaning(word) ? ` (${app.meaning(word)})` : ""}.`,
      without("words", i),
    ]),
    ...changes.swapped.map(([a, b], i) => [`The visual tokens of tiles ${a} and ${b} have changed places.`, without("swapped", i)]),
    ...changes.heads.map(([layer, head], i) => [`Head ${head} of layer ${layer} is switched off: its output is 0.`, without("heads", i)]),
  ];
}

export function change_panel(app) {
  if (!app.records.first) return [];
  const all = lines(app);
  return [
    make("h3", {}, "What is changed"),
    all.length
      ? make(
          "ul",
          { class: "changes" },
          all.map(([text, rest], i) =>
            make(
              "li",
              {},
              make("span", {}, text),
              button("Undo", () => app.change(rest), { key: `undo ${i}`, "aria-label": `Undo: ${text}` }),
            ),
          ),
        )
      : make("p", { class: "note" }, "Nothing yet. Choose below, or in the other panels."),
    all.length > 0 && button("Undo all", () => app.change(NO_CHANGES), { key: "undo all" }),
    comparison(app),
    make("h3", {}, "Change something"),
    forms(app),
    make(
      "p",
      { class: "note" },
      "A removed tile and a masked token keep their places, so that no other token moves. A change shows what this run depends on; it does not show how the model works in general.",
    ),
  ];
}

/** A form for each kind of change. */
function forms(app) {
  const { form, ...state } = app.state,
    record = app.records.first,
    set = (part) => app.set({ form: { ...form, ...part } });
  const tile_pairs = record.tiles.map((tile, i) => [i, i === 0 && record.tiles.length > 1 ? "0: the thumbnail" : `${i}`]);
  const { layers, heads } = record.attention,
    atom = state.atom ?? 0;
  const words = range(record.words.count).map((word) => [word, app.meaning(word) ? `${word}: ${app.meaning(word)}` : String(word)]);
  const texts = record.tokens
    .slice(0, record.prompt_length)
    .filter((token) => token.kind !== "atom")
    .map((token) => [token.position, `${token.position}: ${visible(token.text)}`]);
  const line = (title, ...parts) => make("fieldset", {}, make("legend", {}, title), make("div", { class: "row" }, parts));
  return make(
    "div",
    { class: "forms" },
    line(
      "Remove a tile",
      choice("Tile", tile_pairs, form.tile, (tile) => set({ tile: Number(tile) }), "form tile"),
      button("Remove", () => app.hide(record.atoms(Math.min(form.tile, record.tiles.length - 1)).map((one) => record.positions[one])), {
        key: "do remove",
        disabled: !record.tiles.length,
      }),
    ),
    line(
      "Swap two tiles",
      choice("First", tile_pairs, form.first, (first) => set({ first: Number(first) }), "form first"),
      choice("Second", tile_pairs, form.second, (second) => set({ second: Number(second) }), "form second"),
      button("Swap", () => app.swap(form.first, form.second), {
        key: "do swap",
        disabled:
          record.tiles.length < 2 || form.first === form.second || form.first >= record.tiles.length || form.second >= record.tiles.length,
      }),
    ),
    line(
      "Replace a visual word",
      make("span", {}, `in ${record.named(atom)} (choose another cell on the map)`),
      choice("Word", words, form.word, (word) => set({ word: Number(word) }), "form word"),
      button("Replace", () => app.replace_word(atom, form.word), { key: "do replace" }),
    ),
    line(
      "Mask a token",
      choice("Token", texts, form.token, (token) => set({ token: Number(token) }), "form token"),
      button("Mask", () => app.hide([form.token]), { key: "do mask" }),
    ),
    line(
      "Switch off a head",
      choice(
        "Layer",
        range(layers).map((i) => [i, i]),
        form.layer,
        (layer) => set({ layer: Number(layer) }),
        "form layer",
      ),
      choice(
        "Head",
        range(heads).map((i) => [i, i]),
        form.head,
        (head) => set({ head: Number(head) }),
        "form head",
      ),
      button("Switch", () => app.toggle_head(form.layer, form.head), { key: "do head" }),
    ),
  );
}

function comparison(app) {
  const { first, second } = app.records;
  if (!app.changed() || !first || !second) return null;
  const text = ({ steps }) => steps.map((step) => step.text).join("");
  const same = text(first) === text(second),
    chosen = (record) => record.steps[0].layers.at(-1).chosen;
  return make(
    "div",
    { class: "comparison", "aria-live": "polite" },
    make("p", {}, make("b", {}, same ? "The answer is the same." : "The answer has changed.")),
    make("dl", {}, make("dt", {}, "unchanged"), make("dd", {}, text(first)), make("dt", {}, "changed"), make("dd", {}, text(second))),
    make(
      "p",
      { class: "note" },
      `Chance of the first token: ${(100 * chosen(first)).toFixed(2)} % unchanged, ${(100 * chosen(second)).toFixed(2)} % changed.`,
    ),
  );
}
