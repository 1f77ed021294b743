// A recording that was made by ovis2_ref/page/recording.py, as a record.

import { inflate } from "./files.mjs";
import { Record, with_texts } from "./record.mjs";

async function image(address) {
  const made = new Image();
  made.src = address;
  await made.decode();
  return made;
}

/** The record of the page's recording, its pictures and its tiles as images. */
export async function recorded({ recording, config }) {
  const { pictures, tiles, texts, words, attention, steps } = recording;
  const run = {
    ...recording,
    words: words && { ...words, top: await top_words(words), entropy: new Float32Array((await inflate(words.entropy)).buffer) },
    attention: attention && (await attention_of(attention)),
    steps: steps.map((step) => with_texts(step, (id) => recording.vocabulary[id] ?? texts[step.position])),
    visual: null,
  };
  return {
    record: new Record(run, config),
    sources: await Promise.all(pictures.map((one) => image(one.image))),
    tiles: await Promise.all(tiles.map((one) => image(one.image))),
  };
}

/** The likeliest words of each atom, [word, chance]: `kept` of each, the words in 32 bits, the chances in float32. */
async function top_words({ kept, words, chances }) {
  const ids = new Uint32Array((await inflate(words)).buffer),
    numbers = new Float32Array((await inflate(chances)).buffer);
  return Array.from({ length: ids.length / kept }, (_, atom) =>
    Array.from({ length: kept }, (_, i) => [ids[atom * kept + i], numbers[atom * kept + i]]),
  );
}

/** Attention in bytes, (rows, layers, heads, tokens): a weight is (byte / 255)^2. */
async function attention_of({ layers, heads, tokens, rows, bytes }) {
  const all = await inflate(bytes),
    squares = Float64Array.from({ length: 256 }, (_, byte) => (byte / 255) ** 2);
  return {
    layers,
    heads,
    tokens,
    rows,
    weight: (row, layer, head, key) => squares[all[((row * layers + layer) * heads + head) * tokens + key]],
  };
}
