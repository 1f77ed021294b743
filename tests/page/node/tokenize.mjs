// node tokenize.mjs FOLDER: print [ids, text decoded from them] for every text in FOLDER/texts.json.
import { read, read_model } from "./reading.mjs";

const { tokenizer } = read_model(process.argv[2]);
const results = JSON.parse(read(process.argv[2], "texts.json")).map((text) => [tokenizer.encode(text), tokenizer.decode(tokenizer.encode(text))]);
process.stdout.write(JSON.stringify(results));
