// The worker: it holds the model, and answers one question after another.

import { load, run } from "./run.mjs";

let model = null;

/** Messages in: {load: data, bits} or {run: number, pictures, question, changes}. Out: {run, start | step | done | error}. */
self.onmessage = ({ data: message }) => {
  if (message.load) {
    model = load(message.load, message.bits);
    return;
  }
  const answer = (part, transfer = []) => self.postMessage({ run: message.run, ...part }, transfer);
  try {
    const running = run(model, message.pictures, message.question, message.changes);
    answer({ start: running.next().value });
    for (;;) {
      const { value, done } = running.next();
      if (done) return answer({ done: value }, [value.attention.data.buffer]);
      answer({ step: value });
    }
  } catch (error) {
    answer({ error: error.message });
  }
};
