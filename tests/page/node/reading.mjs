// Read what tests/page/javascript.py writes into a folder: a model, and jobs with their pictures.
import { readFileSync } from "node:fs";
import { load } from "../../../ovis2_ref/page/model/run.mjs";

export const read = (folder, name) => readFileSync(`${folder}/${name}`);

export function read_model(folder) {
  const bytes = read(folder, "weights.bin");
  return load(JSON.parse(read(folder, "model.json")), new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2));
}

/** The jobs, each {pictures: [{height, width, data}], question, changes}. */
export function read_jobs(folder) {
  const picture = ({ file, ...size }) => ({ ...size, data: new Uint8Array(read(folder, file)) });
  return JSON.parse(read(folder, "jobs.json")).map((job) => ({ ...job, pictures: job.pictures.map(picture) }));
}
