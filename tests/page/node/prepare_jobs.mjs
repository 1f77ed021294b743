// node prepare_jobs.mjs FOLDER: write the pixel values of all jobs into FOLDER/pixels.bin, float32; print a list of {grids}.
import { writeFileSync } from "node:fs";
import { prepare } from "../../../ovis2_ref/page/model/run.mjs";
import { read_jobs, read_model } from "./reading.mjs";

const folder = process.argv[2], model = read_model(folder);
const prepared = read_jobs(folder).map(({ pictures, question }) => prepare(model, pictures, question));
const bytes = prepared.map(({ pixel_values }) => new Uint8Array(Float32Array.from(pixel_values.data).buffer));
writeFileSync(`${folder}/pixels.bin`, Buffer.concat(bytes));
process.stdout.write(JSON.stringify(prepared.map(({ cuts }) => ({ grids: cuts.map(({ grid }) => grid) }))));
