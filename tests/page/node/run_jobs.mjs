// node run_jobs.mjs FOLDER: answer every job, and print a list of {ids, answer, chances} or {error}.
import { run } from "../../../ovis2_ref/page/model/run.mjs";
import { read_jobs, read_model } from "./reading.mjs";

const model = read_model(process.argv[2]);
const results = read_jobs(process.argv[2]).map(({ pictures, question, changes }) => {
  try {
    const running = run(model, pictures, question, changes ?? {}), { ids } = running.next().value;
    let part = running.next();
    while (!part.done) part = running.next();
    const { steps } = part.value;
    return { ids, answer: steps.map(({ id }) => id), chances: steps.map(({ layers }) => layers.at(-1).chosen) };
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(results));
