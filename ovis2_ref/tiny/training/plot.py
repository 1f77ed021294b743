"""Plot a training log: `python -m ovis2_ref.tiny.training.plot LOG.csv CURVES.png`."""

import argparse
import csv
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

STAGES = {
    "vision": ("tab:orange", "shapes"),
    "language": ("tab:blue", "right"),
    "pictures": ("tab:green", "right"),
}
"""Each stage's colour, and the column of the log with its percentage right on held-out scenes: cells of shapes, or answers."""


def read_log(path: Path) -> dict[str, list[dict[str, str]]]:
    """Read the rows of each stage."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {stage: [row for row in rows if row["stage"] == stage] for stage in STAGES}


def plot(log: dict[str, list[dict[str, str]]]) -> Figure:
    """Draw loss and held-out errors over the minutes of the run: two stages side by side, then the third."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    seconds = {stage: [float(row["seconds"]) for row in rows] for stage, rows in log.items()}
    starts = {"pictures": max(seconds["vision"][-1], seconds["language"][-1])}
    for stage, (colour, measured) in STAGES.items():
        minutes = [(starts.get(stage, 0.0) + passed) / 60 for passed in seconds[stage]]
        loss_axes.plot(minutes, [float(row["loss"]) for row in log[stage]], colour, label=stage)
        error_axes.plot(minutes, [100 - float(row[measured]) for row in log[stage]], colour, label=stage)
    loss_axes.set(title="Loss, mean of 100 steps", xlabel="minutes", yscale="log")
    error_axes.set(title="Wrong on held-out scenes, per cent", xlabel="minutes", yscale="log")
    for axes in (loss_axes, error_axes):
        axes.legend(frameon=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Read the command line, and plot."""
    parser = argparse.ArgumentParser(description="Plot the log of a training run of the tiny Ovis2.")
    parser.add_argument("log", type=Path, help="the log.csv that training wrote")
    parser.add_argument("image", type=Path, help="image file to write")
    given = parser.parse_args()
    plot(read_log(given.log)).savefig(given.image, dpi=120)


if __name__ == "__main__":
    main()
