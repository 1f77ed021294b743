// node time_model.mjs FOLDER: answer the first job three times; print milliseconds of processor time, as a new page and then warm.
import { run } from "../../../ovis2_ref/page/model/run.mjs";
import { read_jobs, read_model } from "./reading.mjs";

const model = read_model(process.argv[2]), [{ pictures, question }] = read_jobs(process.argv[2]);
const now = () => process.cpuUsage().user / 1000;
for (let turn = 0; turn < 3; turn++) {
  const running = run(model, pictures, question), start = now();
  running.next();
  running.next();
  const first = now() - start;
  let steps = 0;
  while (!running.next().done) steps++;
  console.log(`node, run ${turn}: first token ${first.toFixed(0)} ms CPU, each next one ${((now() - start - first) / steps).toFixed(1)} ms CPU`);
}
