"""Speed on a CPU, stage by stage: ours, transformers with sdpa and with eager attention, and the machine's own limit, in turns.

    python -m tests.benchmarks.speed [--shapes tiny 100m 1b] [--rows prefill step] [--seconds 8] [--plot speed.png]
    python -m tests.benchmarks.speed --growth [--shapes 100m] [--plot growth.png]
    python -m tests.benchmarks.speed --busy ...        # the same with another process that keeps a core busy

One table in Markdown for each shape; float32, drawn weights. A ratio is ours / transformers, the faster of its two attentions:
of medians, and of minima. Times are medians, minima in brackets, of as many turns as fit into `--seconds` a row, two at least.
The limit is the time in which the machine could do a row's matrix products at the rate of a plain large one, or read its weights
and cache, whichever takes longer; both rates are the best of the row's own turns. The share is the limit / our minimum (the tiny
model's weights stay in the caches: there it may be above 100 %). OMP_NUM_THREADS and OPENBLAS_NUM_THREADS set the numbers of
threads; without them there are as many as cores. All of it takes about 15 minutes on two cores.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import PIL
import torch
import transformers

from ovis2_ref.tools.costs import parameters
from tests.benchmarks.charts import ratio_chart
from tests.benchmarks.growth import measure_growth
from tests.benchmarks.jobs import JOBS, Job
from tests.benchmarks.limits import Machine, best_rates
from tests.benchmarks.processes import MEMORY_JOBS, busy_process, peak_memory
from tests.benchmarks.shapes import EAGER, OURS, SDPA, SHAPES, both_models
from tests.benchmarks.turns import in_turns

MEMORY_ROWS = {f"memory {job}": job for job in MEMORY_JOBS}
ONCE = ("cold start", "memory cold start")
"""Rows of the tiny checkpoint only."""


class Timing(NamedTuple):
    """A row: seconds of each program in each turn, and at the machine's limit (None where that isn't known)."""

    taken: dict[str, list[float]]
    limit: float | None

    def ratio(self, summary: Callable[[list[float]], float] = median) -> float:
        """Ours / the faster one of transformers'."""
        return summary(self.taken[OURS]) / min(
            summary(self.taken[name]) for name in (SDPA, EAGER) if name in self.taken
        )

    def line(self, row: str) -> str:
        """Return the row as Markdown."""
        times = [f"{shown(median(t))} ({shown(min(t))})" for t in self.taken.values()] + ["-"] * (3 - len(self.taken))
        limit = ["-", "-"] if self.limit is None else [shown(self.limit), f"{self.limit / min(self.taken[OURS]):.0%}"]
        cells = [row, f"**{self.ratio():.2f}**", f"{self.ratio(min):.2f}", *times, *limit]
        return f"| {' | '.join(cells)} | {len(self.taken[OURS])} |"


def shown(seconds: float) -> str:
    """Seconds with three digits and a unit."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def time_job(job: Job, machine: Machine, seconds: float) -> Timing:
    """All programs of a job and the machine's limit, in turns."""
    taken = in_turns(job.runs | machine.runs(machine.threads), seconds, rivals=job.runs.keys() - {OURS})
    rates = best_rates(taken)
    limit = sum(stage.seconds(rates) for stage in job.stages) or None
    return Timing({name: [s / job.steps for s in taken[name]] for name in job.runs}, limit)


def measure_shape(shape: str, rows: list[str], machine: Machine, seconds: float) -> Iterator[tuple[str, float]]:
    """Print the tables of one shape; the name and the ratio of each row come back."""
    models = both_models(shape)
    print(f"\n### {shape}: {sum(parameters(models.config).values()) / 1e6:,.1f} M parameters\n")
    for threads in sorted({1, machine.threads}):
        rates = machine.rates(threads)
        print(f"{threads} thread(s): products {rates.product / 1e9:.0f} GFLOP/s, reading {rates.read / 1e9:.1f} GB/s  ")
    timed = [row for row in rows if row in JOBS]
    if timed:
        print(
            "\n| | ratio | of minima | ours | transformers, sdpa | eager | limit | share | turns |\n" + "|---" * 9 + "|"
        )
    for row in timed:
        timing = time_job(JOBS[row](models), machine, seconds)
        print(timing.line(row), flush=True)
        yield row, timing.ratio()
    del models
    remembered = [row for row in rows if row in MEMORY_ROWS]
    if remembered:
        print(
            "\n| peak MiB of a process | ratio | ours | transformers | above the loaded model: ratio | ours | transformers |"
        )
        print("|---" * 7 + "|")
    for row in remembered:
        ours, theirs = (peak_memory(program, shape, MEMORY_ROWS[row]) for program in (OURS, SDPA))
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        cells = [cell for a, b in pairs for cell in (f"**{a / b:.2f}**", f"{a:,.0f}", f"{b:,.0f}")]
        print(f"| {' | '.join([row, *cells, *['-'] * (6 - len(cells))])} |", flush=True)
        yield row, ours.whole / theirs.whole


def machine_line(machine: Machine) -> str:
    """Return the machine and the versions, in words."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(": ")[1] for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return (
        f"{names[0] if names else platform.machine()}, {machine.threads} threads; Python {platform.python_version()}, NumPy "
        f"{np.__version__}, Pillow {PIL.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=None)
    parser.add_argument(
        "--rows", nargs="+", default=[""], help=f"beginnings of names: {', '.join([*JOBS, *MEMORY_ROWS])}"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long a row may take")
    parser.add_argument("--growth", action="store_true", help="how cost grows with tiles, prompt and context")
    parser.add_argument("--busy", action="store_true", help="while another process keeps a core busy")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw")
    arguments = parser.parse_args()
    rows = [row for row in [*JOBS, *MEMORY_ROWS] if row.startswith(tuple(arguments.rows))]
    if not rows:
        parser.error(f"no row's name begins with {' or '.join(arguments.rows)}; see --help")
    machine = Machine()
    print(machine_line(machine) + ("; another process keeps a core busy" if arguments.busy else ""))
    with busy_process() if arguments.busy else nullcontext():
        if arguments.growth:
            for shape in arguments.shapes or ["100m"]:
                measure_growth(shape, arguments.seconds, arguments.plot)
            return
        ratios = {
            shape: dict(
                measure_shape(shape, [r for r in rows if shape == "tiny" or r not in ONCE], machine, arguments.seconds)
            )
            for shape in arguments.shapes or SHAPES
        }
    if arguments.plot:
        ratio_chart(ratios).save(arguments.plot)


if __name__ == "__main__":
    main()
