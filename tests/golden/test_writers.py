"""The writers for other languages: what they write is read here, bit by bit, and by the safetensors library."""

import shutil
import subprocess
from importlib.resources import files

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open

from ovis2_ref.golden import read_golden

WRITERS = files("ovis2_ref.golden") / "writers"
NAMES = ["input_ids", "model.vision_tower.merged", "half", "empty"]
C_PROGRAM = """
#include "golden_writer.c"
int main(int count, char **arguments) {
    const int64_t ids[] = {1, -300, 1099511627776}, ids_shape[] = {1, 3}, shape[] = {2, 3}, none[] = {0, 4}, two[] = {2};
    const float values[] = {1.5f, -0.0f, 3e38f, 1e-45f, 0.1f, 7};
    const uint16_t half[] = {0x3f80, 0xbf00};
    golden_file *file = golden_open(arguments[1], "float32");
    golden_add(file, "input_ids", "I64", 2, ids_shape, ids);
    golden_add(file, "model.vision_tower.merged", "F32", 2, shape, values);
    golden_add(file, "half", "BF16", 1, two, half);
    golden_add(file, "empty", "F32", 2, none, values);
    if (count > 2) golden_add(file, "a\\"b", "F32", 2, shape, values);
    return golden_close(file) == 0 ? 0 : 1;
}
"""
JS_PROGRAM = """
const { GoldenWriter } = require(process.argv[2]);
const writer = new GoldenWriter("float32");
writer.add("input_ids", [1, 3], new BigInt64Array([1n, -300n, 1099511627776n]));
writer.add("model.vision_tower.merged", [2, 3], new Float32Array([1.5, -0.0, 3e38, 1e-45, 0.1, 7]));
writer.add("half", [2], new Uint16Array([0x3f80, 0xbf00]), "BF16");
writer.add("empty", [0, 4], new Float32Array(0));
require("node:fs").writeFileSync(process.argv[3], writer.bytes());
"""


def expect_the_values(path):
    golden = read_golden(path)
    assert golden.metadata == {"version": 1, "dtype": "float32"}
    assert golden.names == NAMES
    values = np.array([[1.5, -0.0, 3e38], [1e-45, 0.1, 7]], np.float32)
    assert golden.taps["model.vision_tower.merged"].tobytes() == values.tobytes()
    np.testing.assert_array_equal(golden.taps["input_ids"], [[1, -300, 2**40]])
    np.testing.assert_array_equal(golden.taps["half"], np.array([1, -0.5], ml_dtypes.bfloat16))
    assert golden.taps["empty"].shape == (0, 4)
    with safe_open(path, "np") as theirs:
        np.testing.assert_array_equal(theirs.get_tensor("model.vision_tower.merged"), values)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_c(tmp_path):
    (tmp_path / "program.c").write_text(C_PROGRAM)
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=undefined",
        "-I",
        str(WRITERS),
        "-o",
        str(tmp_path / "program"),
    ]
    subprocess.run([*command, str(tmp_path / "program.c")], check=True)
    subprocess.run([tmp_path / "program", tmp_path / "c.safetensors"], check=True)
    expect_the_values(tmp_path / "c.safetensors")
    refused = subprocess.run([tmp_path / "program", tmp_path / "refused.safetensors", "bad"], check=False)
    assert refused.returncode == 1 and not (tmp_path / "refused.safetensors").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_javascript(tmp_path):
    (tmp_path / "program.js").write_text(JS_PROGRAM)
    subprocess.run(
        ["node", tmp_path / "program.js", str(WRITERS / "golden_writer.js"), tmp_path / "js.safetensors"], check=True
    )
    expect_the_values(tmp_path / "js.safetensors")


def test_they_are_short():
    """At most 150 lines each."""
    assert all(len(path.read_text().splitlines()) <= 150 for path in WRITERS.iterdir())
