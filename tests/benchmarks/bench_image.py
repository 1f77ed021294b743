"""Speed and memory of the picture side: pictures cut into 448 px tiles, 9 at most, by our Pillow processor and by transformers'.

    python tests/benchmarks/bench_image.py [--rounds 5]

Both get the same picture, decoded. Time: in one process, in turns, the best of the rounds. Memory: each in a process of its
own, how far one call drives the resident set above what it was before the call (Linux). The ratios travel between machines.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovis2_ref.image.processor import Ovis2ImageProcessor

PICTURES = ((4000, 3000), (1280, 720), (640, 480))
OPTIONS = {"size": {"height": 448, "width": 448}, "crop_to_patches": True, "max_patches": 9}


def main() -> None:
    """Measure both programs on each picture, print seconds, MiB and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(memory(arguments.memory[0], arguments.memory[1]))
        return
    print(f"{'picture':>10}  {'ours':>18}  {'transformers':>18}  {'time':>5}  {'memory':>6}")
    for picture in PICTURES:
        name = "{}x{}".format(*picture)
        seconds = times(scene(name), arguments.rounds)
        peaks = [peak_in_process(program, name) for program in ("ours", "transformers")]
        cells = [f"{1e3 * s:7.1f} ms {p:5.0f} MiB" for s, p in zip(seconds, peaks, strict=True)]
        ratios = f"{seconds[0] / seconds[1]:5.2f}  {peaks[0] / peaks[1]:6.2f}"
        print(f"{name:>10}  {cells[0]:>18}  {cells[1]:>18}  {ratios}", flush=True)


def scene(name: str) -> Image.Image:
    """A picture of that size (w x h): noise under a gradient, so that no value is rare."""
    width, height = map(int, name.split("x"))
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise + np.linspace(0, 127, width).astype(np.uint8)[:, None])


def processor(program: str) -> Callable[..., Any]:
    """The image processor of "ours" or "transformers"."""
    if program == "ours":
        return Ovis2ImageProcessor(**OPTIONS)
    try:
        from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil as Reference
    except ImportError:
        from transformers import Ovis2ImageProcessor as Reference
    return Reference(**OPTIONS)


def times(picture: Image.Image, rounds: int) -> list[float]:
    """Seconds of the best round, ours and transformers'."""
    programs = [processor("ours"), processor("transformers")]
    best = [float("inf")] * 2
    for _ in range(rounds + 1):
        for index, program in enumerate(programs):
            start = time.perf_counter()
            program(picture, return_tensors="np")
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def peak_in_process(program: str, name: str) -> float:
    """MiB that one call takes, measured in a new process."""
    command = [sys.executable, __file__, "--memory", program, name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(program: str, name: str) -> float:
    """MiB of resident memory at the peak of one call above that before it; a call on a small picture warms up."""
    call = processor(program)
    call(scene("60x40"), return_tensors="np")
    picture = scene(name)
    before = resident("VmRSS")
    # "5" sets the peak back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    call(picture, return_tensors="np")
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """A field of this process' status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
