"""How cost grows with the number of tiles, the length of the prompt, and the context of a decoding step."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks.charts import growth_chart
from tests.benchmarks.jobs import Job, prefill, steps, tiles
from tests.benchmarks.shapes import OURS, SDPA, Models, both_models
from tests.benchmarks.turns import in_turns

LENGTHS = (100, 200, 500, 1000, 2000, 4000, 8000)


def step(context: int, models: Models) -> Job:
    """A decoding step after `context` tokens."""
    return steps(context, 1, models)


SERIES: dict[str, tuple[Callable[[int, Models], Job], Sequence[int]]] = {
    "tiles": (tiles, (1, 2, 3, 5, 7, 10)),
    "tokens of a prompt": (prefill, LENGTHS),
    "context of a step": (step, LENGTHS),
}


class Curve(NamedTuple):
    """Seconds of a program by size."""

    sizes: Sequence[int]
    seconds: Sequence[float]

    @property
    def exponent(self) -> float:
        """p of the power law c * size^p that fits best: least squares of the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


def measure_growth(shape: str, seconds: float, plot: Path | None) -> None:
    """Print each series as a table, with its exponents; draw them all."""
    models = both_models(shape)
    curves = {}
    for series, (job_of, sizes) in SERIES.items():
        print(f"\n### {shape}: {series}\n\n| | ratio | ours | transformers, sdpa |\n|---|---|---|---|")
        times: dict[str, list[float]] = {OURS: [], SDPA: []}
        for size in sizes:
            job = job_of(size, models)
            taken = in_turns({program: job.runs[program] for program in times}, seconds)
            for program, all_times in times.items():
                all_times.append(min(taken[program]) / job.steps)
            ours, theirs = times[OURS][-1], times[SDPA][-1]
            print(f"| {size} | **{ours / theirs:.2f}** | {1e3 * ours:.4g} ms | {1e3 * theirs:.4g} ms |", flush=True)
        curves[series] = {program: Curve(sizes, all_times) for program, all_times in times.items()}
        print("| exponent | | " + " | ".join(f"{curve.exponent:.2f}" for curve in curves[series].values()) + " |")
    if plot:
        growth_chart(curves).save(plot)
