// Write a golden file (ovis2_ref/golden/README.md) from JavaScript, without dependencies; in Node, Deno, Bun or a browser.
//
//   const { GoldenWriter } = require("./golden_writer.js");
//   const writer = new GoldenWriter("float32");
//   writer.add("model.language_model.norm.output", [1, 5, 128], new Float32Array(640));
//   require("node:fs").writeFileSync("candidate.safetensors", writer.bytes());
//
// float16 and bfloat16 come as a Uint16Array with the kind "F16" or "BF16".

"use strict";

const KINDS = new Map([
  [Float64Array, "F64"],
  [Float32Array, "F32"],
  [BigInt64Array, "I64"],
  [Int32Array, "I32"],
  [Uint8Array, "U8"],
]);

class GoldenWriter {
  /** @param {string} dtype the type that the program computes in: float64, float32, float16 or bfloat16 */
  constructor(dtype) {
    this.metadata = { version: 1, dtype };
    this.header = {};
    this.parts = [];
    this.end = 0;
  }

  /** Append a tap: its name, its shape, and its numbers in a typed array, which are copied. */
  add(name, shape, numbers, kind = KINDS.get(numbers.constructor)) {
    if (kind === undefined) throw new TypeError(`${name}: ${numbers.constructor.name} needs a kind, "F16" or "BF16"`);
    if (name in this.header) throw new RangeError(`the tap ${name} comes twice; a second run of a module ends in #2`);
    const count = shape.reduce((product, size) => product * size, 1);
    if (count !== numbers.length) throw new RangeError(`${name}: ${numbers.length} numbers can't have the shape [${shape}]`);
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength).slice();
    this.header[name] = { dtype: kind, shape, data_offsets: [this.end, this.end + bytes.length] };
    this.parts.push(bytes);
    this.end += bytes.length;
  }

  /** The bytes of the file. */
  bytes() {
    const header = { __metadata__: { golden: JSON.stringify(this.metadata) }, ...this.header };
    const text = new TextEncoder().encode(JSON.stringify(header));
    const length = Math.ceil(text.length / 8) * 8;
    const file = new Uint8Array(8 + length + this.end).fill(0x20, 0, 8 + length);
    new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
    file.set(text, 8);
    let offset = 8 + length;
    for (const part of this.parts) {
      file.set(part, offset);
      offset += part.length;
    }
    return file;
  }
}

if (typeof module !== "undefined") module.exports = { GoldenWriter };
