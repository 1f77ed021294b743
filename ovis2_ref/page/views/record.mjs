// What a run has to show, whether it was computed in the page or recorded: `Record` answers the questions of all views.

import { largest, TOP } from "../model/run.mjs";

const INDICATORS = ["start", "grid", "column", "row", "end"];

/** A token's text as it is shown: line breaks and a space at its start or end can be seen. */
export const visible = (text) => (text === "" ? "(empty)" : text.replaceAll("\n", "⏎").replace(/^ | $/g, "␣"));

/** A token's text without the space that most words begin with. */
export const bare = (text) => visible(text.replace(/^ (?=.)/, ""));

export class Record {
  /**
   * `run`: {pictures: [{height, width, grid}], tiles: [{picture, region, thumbnail}], ids, prompt_length, texts, words, visual, attention, steps}.
   * words: {count, data} or {count, top, entropy}; attention: {layers, heads, tokens, rows, weight(row, layer, head, key)}; rows are the
   * positions whose attention is there. `config`: {image_token_id, visual_indicator_token_ids}.
   */
  constructor(run, config) {
    Object.assign(this, run);
    this.tokens = run.ids.map((id, position) => ({ id, position, text: run.texts[position], kind: "text", atom: null }));
    let atom = 0;
    this.positions = [];
    for (const token of this.tokens.slice(0, run.prompt_length)) {
      const indicator = config.visual_indicator_token_ids.indexOf(token.id);
      if (token.id === config.image_token_id) {
        [token.kind, token.atom] = ["atom", atom++];
        this.positions.push(token.position);
      } else if (indicator >= 0) token.kind = INDICATORS[indicator];
      else if (/^<\|.*\|>$/.test(token.text)) token.kind = "control";
    }
    for (const token of this.tokens.slice(run.prompt_length)) token.kind = "answer";
    this.per_tile = this.tiles.length ? atom / this.tiles.length : 0;
    this.side = Math.sqrt(this.per_tile);
    this.tops = []; // of the atoms that were asked for
    this.rows = new Map((this.attention?.rows ?? []).map((position, row) => [position, row]));
  }

  get answer() {
    return this.tokens.slice(this.prompt_length);
  }

  /** Where an atom is: its tile, and its row and column among the tile's cells. */
  place(atom) {
    const tile = Math.floor(atom / this.per_tile),
      cell = atom % this.per_tile;
    return { tile, cell, row: Math.floor(cell / this.side), column: cell % this.side };
  }

  /** The atoms of a tile. */
  atoms(tile) {
    return Array.from({ length: this.per_tile }, (_, cell) => tile * this.per_tile + cell);
  }

  /** The numbers of the patches that an atom is made of, in a tile of so many patches, `stride` on a side of a cell. */
  patches_of(atom, patches, stride) {
    const { row, column } = this.place(atom),
      count = Math.sqrt(patches);
    return range(stride * stride).map((i) => (row * stride + Math.floor(i / stride)) * count + column * stride + (i % stride));
  }

  /** The name of an atom's place. */
  named(atom) {
    const { tile, row, column } = this.place(atom);
    return `tile ${tile}, cell ${row + 1}.${column + 1}`;
  }

  /** The likeliest words of an atom: [word, chance], the likeliest first. */
  words_of(atom) {
    const { count, data, top } = this.words;
    return top ? top[atom] : (this.tops[atom] ??= largest(data.subarray(atom * count, (atom + 1) * count)));
  }

  /** The chance of a word in an atom; 0 where a recording has kept only likelier ones. */
  chance(atom, word) {
    const { count, data, top } = this.words;
    return data ? data[atom * count + word] : (top[atom].find(([one]) => one === word)?.[1] ?? 0);
  }

  /** The entropy of an atom's distribution, in bits. */
  entropy(atom) {
    const { count, data, entropy } = this.words;
    if (!data) return entropy[atom];
    return data.subarray(atom * count, (atom + 1) * count).reduce((sum, p) => (p > 0 ? sum - p * Math.log2(p) : sum), 0);
  }

  /** The words that are likeliest in most cells of all tiles: [word, cells]. */
  common_words(count = TOP) {
    const cells = new Map();
    for (let atom = 0; atom < this.positions.length; atom++) {
      const [[word]] = this.words_of(atom);
      cells.set(word, (cells.get(word) ?? 0) + 1);
    }
    return [...cells].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, count);
  }

  /** Whether the attention of the token at `position` is there. */
  has_attention(position) {
    return this.rows.has(position);
  }

  /** One head's weight (or the mean over the heads, or layers, that are null) from one token to another; null where it was left out. */
  weight(layer, head, from, to) {
    const row = this.rows.get(from);
    if (row === undefined) return null;
    if (to > from) return 0;
    if (layer !== null && head !== null) return this.attention.weight(row, layer, head, to);
    const layers = layer === null ? range(this.attention.layers) : [layer],
      heads = head === null ? range(this.attention.heads) : [head];
    let sum = 0;
    for (const l of layers) for (const h of heads) sum += this.attention.weight(row, l, h, to);
    return sum / (layers.length * heads.length);
  }

  /** The weights from the token at `position` to all tokens, or (`to`) from all tokens to it; null where one is not there. */
  weights(layer, head, position, to = false) {
    const asked = [layer, head, position, to].join(" ");
    if (this.asked !== asked) {
      this.asked = asked; // the map and the panel ask for the same ones
      this.answered = this.tokens.map((token) =>
        to ? this.weight(layer, head, token.position, position) : this.weight(layer, head, position, token.position),
      );
    }
    return this.answered;
  }

  /** One head's weight from the token at `position` to the whole picture. */
  on_picture(layer, head, position) {
    const row = this.rows.get(position);
    return this.positions.reduce((sum, to) => (to <= position ? sum + this.attention.weight(row, layer, head, to) : sum), 0);
  }
}

export const range = (count) => Array.from({ length: count }, (_, i) => i);

/** The run that the worker computed, as a record. */
export function live_record({ start, done }, pictures, model) {
  const { tokenizer, config } = model,
    { heads, tokens, data } = done.attention,
    layers = config.text_config.num_hidden_layers;
  const weight = (row, layer, head, key) => data[((layer * heads + head) * tokens + row) * tokens + key];
  const run = {
    pictures: pictures.map(({ height, width }, i) => ({ height, width, grid: start.cuts[i].grid })),
    tiles: start.tiles,
    levels: start.levels,
    ids: done.ids,
    prompt_length: start.ids.length,
    texts: done.ids.map((id) => tokenizer.decode([id])),
    words: done.words,
    visual: done.visual,
    attention: { layers, heads, tokens, rows: range(tokens), weight },
    steps: done.steps.map((step) => with_texts(step, (id) => tokenizer.decode([id]))),
  };
  return new Record(run, config);
}

/** A step whose likeliest tokens are {id, text, chance}. */
export function with_texts(step, text) {
  const layers = step.layers.map((layer) => ({ ...layer, top: layer.top.map(([id, chance]) => ({ id, text: text(id), chance })) }));
  return { ...step, text: text(step.id), layers };
}
