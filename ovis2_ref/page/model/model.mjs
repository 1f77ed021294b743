// Ovis2: tiles -> visual tokens -> embeddings -> prompt -> hidden states -> logits -> answer.
//
// The functions have the names that they have in walkthroughs/ovis2.py and in ovis2_ref; their values, those of the package's taps.
// `changes` take the model apart: see `Changes` below.

import { add, array, feed_forward, layer_norm, linear, product, rms_norm, rows_of, softmax, weighted_sum } from "./ops.mjs";

/**
 * What is changed in a run. A position is a token's place in the prompt, an atom a visual token's place among the visual tokens.
 * @typedef {{hidden?: number[], words?: [number, number][], swapped?: [number, number][], heads?: [number, number][]}} Changes
 * hidden: positions that no other token sees; words: [atom, word], the atom becomes this one word; swapped: pairs of tiles whose
 * visual tokens change places; heads: [layer, head] of the language model, whose output becomes 0.
 */

// Vision (ovis2_ref/vision)

/** The features of every patch of every tile: embed, pass all blocks, norm. */
export function vision_transformer(pixel_values, w, config) {
  let x = embed_patches(pixel_values, w.part("embeddings"), config);
  for (let i = 0; i < config.num_hidden_layers; i++) x = block(x, w.part("encoder").part("layers").part(i), config);
  return rms_norm(x, w.part("rms_norm"), config.rms_norm_eps);
}

/** norm(patch embedding) + position embedding. */
function embed_patches(pixel_values, w, config) {
  const embedded = patch_embedding(pixel_values, w.part("patch_embedding"), config.patch_size);
  const x = rms_norm(embedded, w.part("rms_norm"), config.rms_norm_eps), positions = w.part("position_embedding").get("weight").data;
  return w.tap("output", array(x.shape, x.data.map((value, i) => value + positions[i % positions.length])));
}

/** W patch + b. */
const patch_embedding = (pixel_values, w, patch) => linear(patches_of(pixel_values, patch), w);

/** The pixels of each patch in a row, channel by channel; patches in reading order. */
function patches_of({ shape: [tiles, channels, side], data }, patch) {
  const count = Math.floor(side / patch), out = array([tiles, count * count, channels * patch * patch]);
  let place = 0;
  for (let tile = 0; tile < tiles; tile++)
    for (let number = 0; number < count * count; number++)
      for (let channel = 0; channel < channels; channel++)
        for (let y = 0; y < patch; y++) {
          const row = Math.floor(number / count) * patch + y, column = (number % count) * patch;
          const start = ((tile * channels + channel) * side + row) * side + column;
          out.data.set(data.subarray(start, start + patch), place);
          place += patch;
        }
  return out;
}

/** x + attention(norm1(x)), then x + ffn(norm2(x)). */
function block(x, w, config) {
  const norm1 = rms_norm(x, w.part("rms_norm1"), config.rms_norm_eps);
  x = w.tap("after_attention", add(x, vision_attention(norm1, w.part("attention"), config)));
  const norm2 = rms_norm(x, w.part("rms_norm2"), config.rms_norm_eps);
  return w.tap("output", add(x, feed_forward(norm2, w.part("ffn"))));
}

/** out_proj(softmax(q k^T / sqrt(head_dim)) v), all heads; nothing is masked. */
function vision_attention(x, w, config) {
  const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((part) => split_heads(linear(x, w.part(part)), config.num_attention_heads));
  return linear(w.tap("context", merge_heads(attend(q, k, v, null, w))), w.part("out_proj"));
}

/** Lay the features of each stride x stride square of patches side by side. */
export function merge_patches({ shape: [tiles, patches, hidden], data }, stride) {
  const side = Math.sqrt(patches), merged = side / stride, out = array([tiles, merged * merged, stride * stride * hidden]);
  for (let tile = 0, place = 0; tile < tiles; tile++)
    for (let token = 0; token < merged * merged; token++)
      for (let part = 0; part < stride * stride; part++, place += hidden) {
        const row = Math.floor(token / merged) * stride + Math.floor(part / stride), column = (token % merged) * stride + (part % stride);
        const start = (tile * patches + row * side + column) * hidden;
        out.data.set(data.subarray(start, start + hidden), place);
      }
  return out;
}

/** A distribution over the visual words for every merged feature: softmax(norm(W merged)). */
export function visual_tokens(merged, w) {
  const logits = layer_norm(linear(w.tap("merged", merged), w.part("head_linear")), w.part("head_norm"));
  return w.tap("tokens", softmax(logits));
}

/** The expected row of the table, sum_w token_w table_w. */
export function embed_visual_tokens(tokens, table) {
  const words = tokens.shape.at(-1), hidden = table.shape[1], out = array([...tokens.shape.slice(0, -1), hidden]);
  weighted_sum(tokens.data, 0, words, rows_of(tokens), table.data, 0, hidden, words, hidden, out.data, 0, hidden);
  return out;
}

/** The visual tokens with words replaced and tiles exchanged. */
function changed_tokens(tokens, { words = [], swapped = [] }) {
  const count = tokens.shape.at(-1), tile = tokens.shape[1] * count, data = tokens.data.slice();
  for (const [atom, word] of words) {
    data.fill(0, atom * count, (atom + 1) * count);
    data[atom * count + word] = 1;
  }
  for (const [a, b] of swapped) {
    const first = data.slice(a * tile, (a + 1) * tile);
    data.copyWithin(a * tile, b * tile, (b + 1) * tile);
    data.set(first, b * tile);
  }
  return array(tokens.shape, data);
}

/** Rows of the text table; atoms become visual embeddings, indicators the last rows of the visual table (ovis2_ref/merge.py). */
export function merge_embeddings(ids, visual, w, config) {
  const text = w.part("language_model").part("embed_tokens").get("weight"), table = w.part("visual_embeddings_table").get("weight");
  const hidden = text.shape[1], out = array([1, ids.length, hidden]), indicators = config.visual_indicator_token_ids;
  let atom = 0;
  ids.forEach((id, place) => {
    let [source, row] = [text, id];
    if (id === config.image_token_id) [source, row] = [visual, atom++];
    else if (indicators.includes(id)) [source, row] = [table, table.shape[0] - indicators.length + indicators.indexOf(id)];
    if (source) out.data.set(source.data.subarray(row * hidden, (row + 1) * hidden), place * hidden);
  });
  if (atom !== (visual ? visual.data.length / hidden : 0))
    throw new Error(`The prompt has ${atom} image tokens, the pictures have another number. Leave <IMG_ATOM> out of the question.`);
  return out;
}

// Language (ovis2_ref/language)

/** (1, t, heads * d) -> (heads, t, d) of each row of tiles: (n, t, heads * d) -> (n, heads, t, d). */
function split_heads({ shape: [n, t, width], data }, heads) {
  const d = width / heads, out = array([n, heads, t, d]);
  for (let i = 0; i < n; i++)
    for (let head = 0; head < heads; head++)
      for (let token = 0; token < t; token++) {
        const start = (i * t + token) * width + head * d;
        out.data.set(data.subarray(start, start + d), ((i * heads + head) * t + token) * d);
      }
  return out;
}

/** (n, heads, t, d) -> (n, t, heads * d). */
function merge_heads({ shape: [n, heads, t, d], data }) {
  const out = array([n, t, heads * d]);
  for (let row = 0; row < n * heads * t; row++) {
    const token = row % t, head = Math.floor(row / t) % heads, i = Math.floor(row / (t * heads));
    out.data.set(data.subarray(row * d, (row + 1) * d), ((i * t + token) * heads + head) * d);
  }
  return out;
}

/** softmax(q k^T / sqrt(head_dim) + mask) v; groups of query heads share a key and value head. `mask(query, key)` hides a key. */
function attend(q, k, v, mask, w) {
  const [n, heads, t, d] = q.shape, [, kv_heads, keys] = k.shape, scores = array([n, heads, t, keys]), context = array(q.shape);
  const scale = d ** -0.5, shared = (i, head) => (i * kv_heads + Math.floor((head * kv_heads) / heads)) * keys * d;
  for (let i = 0, row = 0; i < n; i++)
    for (let head = 0; head < heads; head++, row += t)
      product(q.data, row * d, d, t, k.data, shared(i, head), d, keys, d, scores.data, row * keys, keys);
  for (let place = 0; place < scores.data.length; place++) {
    const hidden = mask && mask(Math.floor(place / keys) % t, place % keys);
    scores.data[place] = hidden ? -Infinity : scores.data[place] * scale;
  }
  w.tap("scores", array(scores.shape, scores.data.slice()));
  const weights = w.tap("weights", softmax(scores));
  for (let i = 0, row = 0; i < n; i++)
    for (let head = 0; head < heads; head++, row += t)
      weighted_sum(weights.data, row * keys, keys, t, v.data, shared(i, head), d, keys, d, context.data, row * d, d);
  return context;
}

/** cos and sin of position * theta^(-2 i / head_dim), (1, tokens, pairs). */
function rotary_tables(first, tokens, { head_dim, rope_parameters }) {
  const f = Math.fround, pairs = head_dim / 2, cos = array([1, tokens, pairs]), sin = array([1, tokens, pairs]);
  for (let i = 0; i < tokens * pairs; i++) {
    const frequency = f(1 / f(f(rope_parameters.rope_theta) ** f((2 * (i % pairs)) / head_dim))); // float32, as in training
    const angle = (first + Math.floor(i / pairs)) * frequency;
    (cos.data[i] = Math.cos(angle)), (sin.data[i] = Math.sin(angle));
  }
  return { cos, sin };
}

/** (a, b) -> (a cos - b sin, b cos + a sin) for number i and number i + head_dim / 2 of every head. */
function rotate(x, { cos, sin }) {
  const [, , t, d] = x.shape, half = d / 2, out = array(x.shape);
  for (let row = 0; row < rows_of(x); row++)
    for (let i = 0; i < half; i++) {
      const place = row * d + i, table = (row % t) * half + i, a = x.data[place], b = x.data[place + half];
      out.data[place] = a * cos.data[table] - b * sin.data[table];
      out.data[place + half] = b * cos.data[table] + a * sin.data[table];
    }
  return out;
}

/** The keys and values of every token that the model has read, for each layer. */
export class KVCache {
  constructor() {
    this.layers = new Map();
    this.length = 0;
  }
  /** Join new keys or values (1, heads, t, d) to those of a layer. */
  update(name, x) {
    const [, heads, t, d] = x.shape, old = this.layers.get(name) ?? array([1, heads, 0, d]), seen = old.shape[2];
    const all = array([1, heads, seen + t, d]);
    for (let head = 0; head < heads; head++) {
      all.data.set(old.data.subarray(head * seen * d, (head + 1) * seen * d), head * (seen + t) * d);
      all.data.set(x.data.subarray(head * t * d, (head + 1) * t * d), (head * (seen + t) + seen) * d);
    }
    this.layers.set(name, all);
    return all;
  }
}

/** o_proj(softmax(q k^T / sqrt(head_dim) + mask) v); q and k rotated, k and v joined to those in the cache. */
function attention(x, w, config, layer, pass) {
  const q = w.tap("q_rotated", rotate(split_heads(linear(x, w.part("q_proj")), config.num_attention_heads), pass));
  const k = w.tap("k_rotated", rotate(split_heads(linear(x, w.part("k_proj")), config.num_key_value_heads), pass));
  const v = split_heads(linear(x, w.part("v_proj")), config.num_key_value_heads);
  const context = attend(q, pass.cache.update(`${layer} k`, k), pass.cache.update(`${layer} v`, v), pass.mask, w);
  const size = context.shape[2] * context.shape[3];
  for (const head of pass.heads_off[layer] ?? []) context.data.fill(0, head * size, (head + 1) * size);
  return linear(w.tap("context", merge_heads(context)), w.part("o_proj"));
}

/** The hidden states of embeddings that follow the tokens in the cache: x + attention(norm(x)), then x + mlp(norm(x)), ..., norm. */
export function decoder(x, w, config, cache, { hidden = [], heads = [] } = {}) {
  const start = cache.length, unseen = new Set(hidden), eps = config.rms_norm_eps, heads_off = {};
  for (const [layer, head] of heads) (heads_off[layer] ??= []).push(head);
  const mask = (query, key) => key > start + query || (unseen.has(key) && key !== start + query);
  const pass = { ...rotary_tables(start, x.shape[1], config), cache, mask, heads_off };
  w.tap("inputs_embeds", x);
  w.part("rotary_emb").tap("cos", pass.cos);
  w.part("rotary_emb").tap("sin", pass.sin);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = w.part("layers").part(i), norm1 = rms_norm(x, layer.part("input_layernorm"), eps);
    x = layer.tap("after_attention", add(x, attention(norm1, layer.part("self_attn"), config, i, pass)));
    const norm2 = rms_norm(x, layer.part("post_attention_layernorm"), eps);
    x = layer.tap("output", add(x, feed_forward(norm2, layer.part("mlp"))));
  }
  cache.length += x.shape[1];
  return rms_norm(x, w.part("norm"), eps);
}

/** The scores of every token of the vocabulary after the last of `hidden` (1, t, H). */
export function lm_head(hidden, w, config) {
  const head = w.part(config.tie_word_embeddings ? "model.language_model.embed_tokens" : "lm_head").get("weight"), inputs = head.shape[1];
  const last = array([1, 1, inputs], hidden.data.slice(-inputs)), logits = array([1, 1, head.shape[0]]);
  product(last.data, 0, inputs, 1, head.data, 0, inputs, head.shape[0], inputs, logits.data, 0, head.shape[0]);
  return w.part("lm_head").tap("output", logits);
}

/**
 * Yield the answer's ids, each the token with the highest score, until one that ends it. `w` is the whole model; pixel_values
 * (tiles, 3, side, side) or null.
 */
export function* greedy(ids, pixel_values, w, config, new_tokens, changes = {}) {
  const model = w.part("model"), tower = model.part("vision_tower"), vision = config.vision_config, cache = new KVCache();
  let visual = null;
  if (pixel_values) {
    const features = vision_transformer(pixel_values, tower.part("transformer"), vision);
    const tokens = changed_tokens(visual_tokens(merge_patches(features, vision.hidden_stride), tower), changes);
    const table = model.part("visual_embeddings_table");
    visual = table.tap("output", embed_visual_tokens(tokens, table.get("weight")));
  }
  let x = merge_embeddings(ids, visual, model, config);
  for (let made = 0; made < new_tokens; made++) {
    const logits = lm_head(decoder(x, model.part("language_model"), config.text_config, cache, changes), w, config).data;
    const token = logits.reduce((best, score, i) => (score > logits[best] ? i : best), 0);
    yield token;
    if (config.eos_token_id.includes(token)) return;
    x = merge_embeddings([token], null, model, config);
  }
}
