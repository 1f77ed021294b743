// One run of the model with everything that the page shows of it: `load` makes a model, `run` answers a question about pictures.

import { greedy, lm_head } from "./model.mjs";
import { array, rms_norm, softmax, Weights } from "./ops.mjs";
import { cut_canvas, pillow_values, split_regions } from "./picture.mjs";
import { expand_pictures, render_chat, Tokenizer } from "./text.mjs";

export const MOST_TOKENS = 64;
export const TOP = 10;

/** The numbers that 16 bits stand for in float16. */
export function from_float16(bits) {
  const unit = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
  return Float64Array.from(bits, (number) => {
    const exponent = (number >> 10) & 31, fraction = number & 1023;
    return (number & 0x8000 ? -1 : 1) * unit[exponent] * (exponent ? 1024 + fraction : fraction);
  });
}

/** The model of a page: its configuration, tokenizer, options for pictures, and weights (`data` and float16 bits, one after another). */
export function load({ config, tokenizer, image, tensors }, bits) {
  const numbers = from_float16(bits), weights = new Map();
  let place = 0;
  for (const [name, shape] of tensors) {
    const size = shape.reduce((product, n) => product * n, 1);
    weights.set(name, array(shape, numbers.subarray(place, place + size)));
    place += size;
  }
  return { config, image, tokenizer: new Tokenizer(tokenizer), weights };
}

/** The model's inputs for a question about pictures: ids, pixel values, and where each tile comes from. */
export function prepare({ config, image, tokenizer }, pictures, question) {
  const cuts = pictures.map((picture) => cut_canvas(picture, image)), vision = config.vision_config;
  const per_tile = (vision.image_size / vision.patch_size / vision.hidden_stride) ** 2;
  const prompt = expand_pictures(render_chat(question, pictures.length), cuts.map(({ grid }) => grid), per_tile);
  const levels = cuts.flatMap(({ tiles }) => tiles), side = image.side;
  const tiles = cuts.flatMap(({ grid, tiles }, picture) => {
    const { height, width } = pictures[picture], [rows, columns] = grid;
    const whole = { left: 0, upper: 0, right: width, lower: height };
    const parts = split_exactly(height, width, rows, columns);
    return (tiles.length > 1 ? [whole, ...parts] : parts).map((region, i) => ({ picture, region, thumbnail: i === 0 }));
  });
  const values = levels.length ? array([levels.length, 3, side, side], Float64Array.from(pillow_values(levels, image))) : null;
  return { cuts, tiles, levels, prompt, ids: tokenizer.encode(prompt), pixel_values: values };
}

/** The parts of the picture that the tiles of its canvas show: the picture is stretched to the canvas, so these are exact fractions. */
function split_exactly(height, width, rows, columns) {
  return split_regions(rows, columns, [rows, columns]).map(({ left, upper, right, lower }) => ({
    left: (left * width) / columns,
    upper: (upper * height) / rows,
    right: (right * width) / columns,
    lower: (lower * height) / rows,
  }));
}

/** The `count` largest numbers: [index, number], the largest first. */
export function largest(numbers, count = TOP) {
  const order = Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a] || a - b);
  return order.slice(0, count).map((i) => [i, numbers[i]]);
}

/** Collects the values of a run that the page shows. */
class Collector {
  constructor(config) {
    Object.assign(this, { passes: [], states: [], words: null, visual: null, layers: config.text_config.num_hidden_layers });
  }
  take(name, { shape, data }) {
    if (name === "model.vision_tower.tokens") this.words = { count: shape.at(-1), data };
    else if (name === "model.visual_embeddings_table.output") this.visual = data;
    else if (name === "model.language_model.inputs_embeds") {
      this.passes.push([]);
      this.states.push([data.slice(-shape.at(-1))]);
    } else if (/^model\.language_model\.layers\.\d+\.self_attn\.weights$/.test(name)) this.passes.at(-1).push({ shape, data });
    else if (/^model\.language_model\.layers\.\d+\.output$/.test(name)) this.states.at(-1).push(data.slice(-shape.at(-1)));
  }
  /** Attention of all tokens on all tokens, (layers, heads, tokens, tokens), 0 for later tokens. */
  attention() {
    const heads = this.passes[0][0].shape[1], tokens = this.passes.at(-1)[0].shape[3];
    const all = new Float32Array(this.layers * heads * tokens * tokens);
    let first = 0;
    for (const pass of this.passes) {
      const [, , rows, keys] = pass[0].shape;
      for (let row = 0; row < this.layers * heads * rows; row++) {
        const layer = Math.floor(row / (heads * rows)), head = Math.floor(row / rows) % heads, query = first + (row % rows);
        const from = (head * rows + (row % rows)) * keys;
        all.set(pass[layer].data.subarray(from, from + keys), ((layer * heads + head) * tokens + query) * tokens);
      }
      first += rows;
    }
    return { heads, tokens, data: all };
  }
}

/** What the layers of a step would answer: the likeliest tokens after each layer, through the final norm and head (the logit lens). */
function lens(states, chosen, w, config) {
  const norm = new Weights(w.tensors, "model.language_model.norm"), plain = new Weights(w.tensors), final = states.length - 1;
  return states.map((state, layer) => {
    const hidden = rms_norm(array([1, 1, state.length], state), norm, config.text_config.rms_norm_eps);
    const chances = softmax(lm_head(hidden, plain, config)).data;
    return { layer, final: layer === final, top: largest(chances), chosen: chances[chosen] };
  });
}

/**
 * Answer `question` about `pictures`. Yields each step as it is made: {position, id, layers}, where the last of `layers` holds the
 * likeliest tokens. Returns the run: the inputs, the words, the attention and the steps. `listen(name, array)` hears every value.
 */
export function* run(model, pictures, question, changes = {}, listen = () => {}) {
  const { config, weights } = model, inputs = prepare(model, pictures, question), collector = new Collector(config);
  const hear = (name, value) => (collector.take(name, value), listen(name, value));
  const w = new Weights(weights, "", hear), steps = [], ids = [...inputs.ids];
  yield { ...inputs, pixel_values: null };
  for (const id of greedy(inputs.ids, inputs.pixel_values, w, config, MOST_TOKENS, changes)) {
    const step = { position: ids.length, id, layers: lens(collector.states.at(-1), id, w, config) };
    ids.push(id);
    steps.push(step);
    yield step;
  }
  return { ids, words: collector.words, visual: collector.visual, attention: collector.attention(), steps };
}
