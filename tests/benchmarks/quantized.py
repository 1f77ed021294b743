"""The memory of a GPTQ model of 8 billion weights: `python -m tests.benchmarks.quantized FOLDER [WAY:DTYPE]`.

Writes a checkpoint of Ovis2-8B's shapes into FOLDER (8.2 GB), if it isn't there: language layers of 4 bits in groups of 128
with drawn words, everything else in bfloat16. Then it loads it in a process of its own, WAY "keep_quantized" or "stream",
answers a picture of one tile with two tokens, and prints the peak of the process's memory and its time as JSON.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import ml_dtypes
import numpy as np

from ovis2_ref import Ovis2Config, Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint.names import expected_shapes
from tests.checkpoint.memory import peak_bytes
from tests.checkpoint.packing import MATRICES

GROUP, FACTOR = 128, 8
"""Inputs of a group, and numbers of 4 bits in a word."""
KINDS = {"BF16": 2, "F16": 2, "I32": 4}
SETTINGS = {
    "bits": 4,
    "group_size": GROUP,
    "desc_act": False,
    "sym": True,
    "quant_method": "gptq",
    "checkpoint_format": "gptq",
}


def entries(config: Ovis2Config) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield the name, the number type and the shape of each stored tensor."""
    for name, shape in expected_shapes(config).items():
        module = name.removesuffix(".weight")
        if ".language_model.layers." not in name or not module.endswith(MATRICES):
            yield name, "BF16", shape
            continue
        (out, inputs), groups = shape, shape[1] // GROUP
        yield f"{module}.qweight", "I32", (inputs // FACTOR, out)
        yield f"{module}.qzeros", "I32", (groups, out // FACTOR)
        yield f"{module}.scales", "F16", (groups, out)
        yield f"{module}.g_idx", "I32", (inputs,)


def drawn(name: str, kind: str, shape: tuple[int, ...], chance: Any) -> np.ndarray:
    """Return the numbers of a stored tensor: words, zero points of 8, and scales and weights that keep values near 1."""
    if name.endswith("qweight"):
        return chance.integers(-(2**31), 2**31, shape, np.int32)
    if name.endswith("qzeros"):
        return np.full(shape, 0x77777777, np.int32)
    if name.endswith("g_idx"):
        return np.arange(shape[0], dtype=np.int32) // GROUP
    if name.endswith("scales"):
        return np.full(shape, 0.2 / (shape[0] * GROUP) ** 0.5, np.float16)
    if len(shape) == 1:
        return np.full(shape, float(not name.endswith("bias")), ml_dtypes.bfloat16)
    inputs = 1 if "embed" in name and "patch" not in name else math.prod(shape[1:])
    values = np.empty(math.prod(shape), ml_dtypes.bfloat16)
    pattern = (chance.standard_normal(2**20, np.float32) / inputs**0.5).astype(ml_dtypes.bfloat16)
    for start in range(0, values.size, pattern.size):
        values[start : start + pattern.size] = pattern[: values.size - start]
    return values.reshape(shape)


def write(folder: Path) -> None:
    """Write the checkpoint."""
    folder.mkdir(parents=True)
    config, chance = Ovis2Config.preset("Ovis2-8B"), np.random.default_rng(0)
    header, end = {}, 0
    for name, kind, shape in entries(config):
        start, end = end, end + KINDS[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / "part").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, kind, shape in entries(config):
            file.write(drawn(name, kind, shape, chance).reshape(-1).view(np.uint8).data)
    values = {"model_type": "ovis2", **config.to_dict(), "quantization_config": SETTINGS}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "part").rename(folder / "model.safetensors")


def measure(folder: Path, way: str) -> dict[str, Any]:
    """Load, answer, and return the peak of this process's memory after each."""
    begin = process_time()
    argument, dtype = way.split(":")
    model = Ovis2ForConditionalGeneration.from_pretrained(folder, dtype=dtype, **{argument: True})
    figures: dict[str, Any] = {"way": way, "loaded_gb": peak_bytes() / 1e9}
    config = model.config
    start, grid, _, _, last = config.visual_indicator_token_ids
    picture = [start, *[config.image_token_id] * config.vision_config.tokens_per_tile, grid, last]
    side = config.vision_config.image_size
    pixels = np.random.default_rng(1).standard_normal((1, 3, side, side)).astype(np.float32)
    answers = model.generate(input_ids=np.array([[1, 2, 3, *picture, 4, 5]]), pixel_values=pixels, max_new_tokens=2)
    assert answers.shape == (1, len(picture) + 7)
    return {**figures, "peak_gb": peak_bytes() / 1e9, "processor_seconds": process_time() - begin}


if __name__ == "__main__":
    place, *ways = sys.argv[1:]
    if len(ways) == 2:
        print(json.dumps(measure(Path(place), ways[0])))
    else:
        if not (Path(place) / "model.safetensors").exists():
            write(Path(place))
        for each in ways or ["keep_quantized:float32", "keep_quantized:bfloat16", "stream:float32"]:
            subprocess.run([sys.executable, "-m", "tests.benchmarks.quantized", place, each, "alone"], check=True)
