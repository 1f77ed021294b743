// The prompt and its tokens: the chat template, the layout of pictures, Qwen2's byte-level BPE (ovis2_ref/text).

const WORDS = new RegExp(
  "'(?:[sS\\u017ftTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\p{White_Space}\\p{L}\\p{N}]+[\\r\\n]*" +
    "|\\p{White_Space}*[\\r\\n]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
  "gu",
);

/** The words of a text, each of which byte-pair encoding splits by itself. */
export const split_words = (text) => Array.from(text.normalize("NFC").matchAll(WORDS), ([word]) => word);

/** The prompt for one question about `pictures` pictures, as Ovis2's chat template renders it. */
export function render_chat(question, pictures) {
  return (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" +
    `<|im_start|>user\n${"<image>\n".repeat(pictures)}${question}<|im_end|>\n<|im_start|>assistant\n`
  );
}

/** The tokens of a picture cut into (rows, columns) tiles, with one atom for a tile. */
export function picture_layout([rows, columns]) {
  const tokens = ["<IMG_START>", "<IMG_ATOM>", "<IMG_GRID>"];
  for (let row = 0; row < (rows * columns > 1 ? rows : 0); row++) {
    if (row) tokens.push("<IMG_ROW>");
    for (let column = 0; column < columns; column++) tokens.push(...(column ? ["<IMG_COL>", "<IMG_ATOM>"] : ["<IMG_ATOM>"]));
  }
  return [...tokens, "<IMG_END>"];
}

/** The text of a picture in the prompt, where every tile has `tokens_per_tile` atoms. */
export function image_placeholder(grid, tokens_per_tile) {
  return picture_layout(grid).map((token) => (token === "<IMG_ATOM>" ? token.repeat(tokens_per_tile) : token)).join("");
}

/** Replace each <image> by the layout of its picture's grid. */
export function expand_pictures(prompt, grids, tokens_per_tile) {
  const parts = prompt.split("<image>");
  if (parts.length - 1 !== grids.length)
    throw new Error(`The prompt has ${parts.length - 1} <image> for ${grids.length} pictures. Leave <image> out of the question.`);
  return parts.map((part, i) => (i ? image_placeholder(grids[i - 1], tokens_per_tile) : "") + part).join("");
}

/** Bytes as printable characters, as GPT-2 writes them: printable ones as they are, the others from U+0100 on. */
function byte_characters() {
  const printable = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

export class Tokenizer {
  /** `vocab`: tokens by id; `merges`: pairs, the first ones first; `special`: the control tokens' text -> id. */
  constructor({ vocab, merges, special }) {
    this.tokens = vocab;
    this.ids = new Map(vocab.map((token, id) => [token, id]));
    this.ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
    this.special = new Map(Object.entries(special));
    this.names = new Map(Object.entries(special).map(([name, id]) => [id, name]));
    this.characters = byte_characters();
    this.bytes = new Map(this.characters.map((character, byte) => [character, byte]));
    const names = Object.keys(special).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.control = new RegExp(`(${names.join("|")})`);
  }

  /** The ids of a text; control tokens in it are recognised. */
  encode(text) {
    const ids = [];
    for (const part of text.split(this.control)) {
      if (this.special.has(part)) ids.push(this.special.get(part));
      else for (const word of split_words(part)) ids.push(...this.merge(word).map((piece) => this.ids.get(piece)));
    }
    return ids;
  }

  /** Byte-pair encoding: join the neighbours of the lowest rank until none has one. */
  merge(word) {
    let pieces = Array.from(new TextEncoder().encode(word), (byte) => this.characters[byte]);
    for (;;) {
      let best = -1, lowest = Infinity;
      for (let i = 0; i + 1 < pieces.length; i++) {
        const rank = this.ranks.get(`${pieces[i]} ${pieces[i + 1]}`) ?? Infinity;
        if (rank < lowest) [best, lowest] = [i, rank];
      }
      if (best < 0) return pieces;
      pieces = [...pieces.slice(0, best), pieces[best] + pieces[best + 1], ...pieces.slice(best + 2)];
    }
  }

  /** The text of ids; control tokens are written out. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids) {
    let text = "", bytes = [];
    const flush = () => ((text += new TextDecoder().decode(Uint8Array.from(bytes))), (bytes = []));
    for (const id of ids) {
      if (this.names.has(id)) (flush(), (text += this.names.get(id)));
      else for (const character of this.tokens[id] ?? "") bytes.push(this.bytes.get(character));
    }
    flush();
    return text;
  }
}
