"""A checkpoint of a released size, with drawn weights: how long it takes, and how much memory, loaded whole and streamed.

    python tests/benchmarks/bench_checkpoint.py [--size Ovis2-1B] [--folder DIR] [--modes loaded streamed]
        [--picture 1280x720] [--tiles 12] [--tokens 16] [--dtype float32]

builds the checkpoint in DIR (bfloat16, in shards) if it isn't there: 2.3 GB for Ovis2-1B, 18 GB for Ovis2-8B; then each mode
looks at a picture of noise and makes some tokens, in a separate process. Printed are seconds for each stage, and the peak of
the process's memory (maximum resident set) before the model, after loading, and at the end.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ovis2_ref import Ovis2Config, Ovis2ForConditionalGeneration, Ovis2ImageProcessor
from ovis2_ref.checkpoint.names import EMBEDDINGS, expected_shapes
from ovis2_ref.checkpoint.saving import save_checkpoint
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.runtime.taps import listening
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, picture_layout

SHARD_BYTES = 10**9
VISUAL, LOGITS = "model.visual_embeddings_table.output", "lm_head.output"
"""Taps at the ends of stages."""
QUESTION = 20
"""Text tokens beside the picture's."""


class RepeatedWeights(Mapping[str, np.ndarray]):
    """Weights of every name made by repeating one block of drawn numbers: nothing that is measured depends on them."""

    def __init__(self, config: Ovis2Config) -> None:
        """Draw the block."""
        self.shapes = expected_shapes(config)
        self.block = np.random.default_rng(0).standard_normal(2**20, np.float32)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a matrix with variance 1 / inputs; a vector of ones."""
        shape = self.shapes[name]
        if len(shape) == 1:
            return np.ones(shape, DTYPES["bfloat16"])
        block = (self.block / np.sqrt(math.prod(shape[1:]))).astype(DTYPES["bfloat16"])
        return np.resize(block.view(np.uint16), shape).view(block.dtype)

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self.shapes)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.shapes)


def build(folder: Path, size: str) -> None:
    """Write the checkpoint, one weight in memory at a time. No token ends an answer."""
    start = time.perf_counter()
    config = Ovis2Config.preset(size)
    save_checkpoint(folder, config, RepeatedWeights(config), max_shard_bytes=SHARD_BYTES)
    print(f"{size} built in {time.perf_counter() - start:.0f} s", file=sys.stderr)


def peak_gib() -> float:
    """Return the most memory that this process has had (Linux: its own; the maximum resident set begins with the parent's)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 2**20


def measure(arguments: argparse.Namespace, mode: str) -> None:
    """Load, look, answer in this process; print the figures as JSON."""
    figures: dict[str, float] = {"imported GiB": peak_gib()}
    marks = [("", time.perf_counter())]

    def mark(stage: str) -> None:
        marks.append((stage, time.perf_counter()))
        figures[f"{stage} s"] = marks[-1][1] - marks[-2][1]

    def listener(name: str, _: object) -> None:
        if name == VISUAL:
            mark("encode")
        else:
            mark("prefill" if "prefill s" not in figures else "decode")
            steps.append(marks[-1][1])

    steps: list[float] = []
    model = Ovis2ForConditionalGeneration.from_pretrained(
        arguments.folder, dtype=arguments.dtype, stream=mode == "streamed"
    )
    mark("load")
    figures["loaded GiB"] = peak_gib()
    ids, pixels = inputs(model.config, arguments)
    figures["tiles"], figures["prompt tokens"] = len(pixels), ids.size
    mark("prepare")
    with listening(listener, lambda name: name in (VISUAL, LOGITS)):
        model.generate(ids, pixel_values=pixels, max_new_tokens=arguments.tokens, do_sample=False)
    figures["decode s"] = (steps[-1] - steps[0]) / max(len(steps) - 1, 1)
    figures["peak GiB"] = peak_gib()
    print(json.dumps(figures))


def inputs(config: Ovis2Config, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of noise in its layout, and a question of drawn tokens: no tokenizer is needed."""
    width, height = map(int, arguments.picture.split("x"))
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (height, width, 3), np.uint8)
    side = config.vision_config.image_size
    size = {"height": side, "width": side}
    tiles = Ovis2ImageProcessor(crop_to_patches=True, max_patches=arguments.tiles, size=size)(
        [picture], return_tensors="np"
    )
    names = dict(
        zip((IMAGE_ATOM, *INDICATORS), (config.image_token_id, *config.visual_indicator_token_ids), strict=True)
    )
    layout = picture_layout(tuple(map(int, tiles["grids"][0])))
    per_tile = config.vision_config.tokens_per_tile
    ids = [names[token] for token in layout for _ in range(per_tile if token == IMAGE_ATOM else 1)]
    question = generator.integers(0, 150_000, QUESTION)
    return np.concatenate([ids, question])[None], tiles["pixel_values"]


def weights_gib(config: Ovis2Config, dtype: str) -> tuple[float, float, float]:
    """Return all weights, the largest single one and the text table, in the type that is computed in."""
    sizes = {name: math.prod(shape) * DTYPES[dtype].itemsize / 2**30 for name, shape in expected_shapes(config).items()}
    return sum(sizes.values()), max(sizes.values()), sizes[EMBEDDINGS]


def main() -> None:
    """Build, measure each mode in its own process, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="Ovis2-1B")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--modes", nargs="+", choices=("loaded", "streamed"), default=["loaded", "streamed"])
    parser.add_argument("--picture", default="1280x720")
    parser.add_argument("--tiles", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float32")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return measure(arguments, arguments.child)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "config.json").exists():
            build(folder, arguments.size)
        results = {}
        for mode in arguments.modes:
            command = [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder), "--child", mode]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[mode] = json.loads(done.stdout)
        whole, largest, table = weights_gib(Ovis2Config.from_pretrained(folder), arguments.dtype)
    print(
        f"{arguments.size}, {arguments.dtype}, {arguments.picture} px, {arguments.tokens} tokens, {os.cpu_count()} cores"
    )
    print(
        f"weights {whole:.2f} GiB, the largest {largest:.2f}, the text table {table:.2f}; bound 1.15 x weights + largest "
        f"{1.15 * whole + largest:.2f}"
    )
    print("| | " + " | ".join(results) + " |\n|---|" + "---|" * len(results))
    for name in next(iter(results.values())):
        label = f"{name}, each token" if name == "decode s" else name
        print(f"| {label} | " + " | ".join(f"{figures[name]:.2f}" for figures in results.values()) + " |")
    return None


if __name__ == "__main__":
    main()
