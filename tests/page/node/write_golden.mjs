// node write_golden.mjs FOLDER OUTPUT TOKENS: answer the first job with TOKENS tokens, and write every value into a golden file.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { greedy } from "../../../ovis2_ref/page/model/model.mjs";
import { Weights } from "../../../ovis2_ref/page/model/ops.mjs";
import { prepare } from "../../../ovis2_ref/page/model/run.mjs";
import { read_jobs, read_model } from "./reading.mjs";

const { GoldenWriter } = createRequire(import.meta.url)("../../../ovis2_ref/golden/writers/golden_writer.js");
const [, , folder, output, tokens] = process.argv;
const model = read_model(folder), [{ pictures, question }] = read_jobs(folder), writer = new GoldenWriter("float64"), times = {};

/** Add a value; those of the second run of a module end in #2. */
function add(name, shape, numbers) {
  times[name] = (times[name] ?? 0) + 1;
  writer.add(times[name] > 1 ? `${name}#${times[name]}` : name, shape, numbers);
}
const integers = (numbers) => BigInt64Array.from(numbers, BigInt);
const planes = ({ height, width, data }) => {
  const size = height * width;
  return Uint8Array.from({ length: 3 * size }, (_, i) => data[(i % size) * 3 + Math.floor(i / size)]);
};
const [picture] = pictures, { cuts, levels, ids, pixel_values } = prepare(model, pictures, question), [{ canvas, grid }] = cuts;
add("image.picture", [3, picture.height, picture.width], planes(picture));
add("image.canvas", [3, canvas.height, canvas.width], planes(canvas));
add("image.grid", [2], integers(grid));
add("image.tiles", pixel_values.shape, Uint8Array.from(levels.flatMap((tile) => [...planes(tile)])));
add("pixel_values", pixel_values.shape, Float32Array.from(pixel_values.data));
let given = ids, seen = 0;
const w = new Weights(model.weights, "", (name, { shape, data }) => {
  if (name === "model.language_model.inputs_embeds") {
    add("input_ids", [1, given.length], integers(given));
    add("position_ids", [1, given.length], integers(given.map((_, i) => seen + i)));
    seen += given.length;
  }
  add(name, shape, data);
});
const answer = [];
for (const id of greedy(ids, pixel_values, w, model.config, Number(tokens))) answer.push(...(given = [id]));
add("generated", [1, answer.length], integers(answer));
writeFileSync(output, writer.bytes());
