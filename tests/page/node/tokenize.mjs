// node tokenize.mjs FOLDER: print [words, ids, text decoded from the ids] for every text in FOLDER/texts.json.
import { split_words } from "../../../ovis2_ref/page/model/text.mjs";
import { read, read_model } from "./reading.mjs";

const { tokenizer } = read_model(process.argv[2]);
const results = JSON.parse(read(process.argv[2], "texts.json")).map((text) => {
  const ids = tokenizer.encode(text);
  return [split_words(text), ids, tokenizer.decode(ids)];
});
process.stdout.write(JSON.stringify(results));
