"""Plot a training log: `python -m ovis2_ref.tiny.training.plot LOG.csv CURVES.png`."""

import argparse
import csv
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

LABELS = {"vision": "cells of shapes (vision)", "language": "answers (language)", "joint": "answers (joint)"}
COLOURS = {"vision": "tab:orange", "language": "tab:blue", "joint": "tab:green"}
MEASURED = {"vision": "shapes", "language": "right", "joint": "right"}
"""The column of the log with the percentage right on held-out scenes."""


def read_log(path: Path) -> dict[str, list[dict[str, str]]]:
    """Read the rows of each stage."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {stage: [row for row in rows if row["stage"] == stage] for stage in LABELS}


def plot(log: dict[str, list[dict[str, str]]]) -> Figure:
    """Draw loss and held-out errors over the minutes of the run; the joint stage begins when the others have ended."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    joint_start = max(float(log[stage][-1]["seconds"]) for stage in ("vision", "language"))
    for stage, rows in log.items():
        start = joint_start if stage == "joint" else 0.0
        minutes = [(start + float(row["seconds"])) / 60 for row in rows]
        wrong = [100 - float(row[MEASURED[stage]]) for row in rows]
        loss_axes.plot(minutes, [float(row["loss"]) for row in rows], COLOURS[stage], label=stage)
        error_axes.plot(minutes, wrong, COLOURS[stage], label=LABELS[stage])
    loss_axes.set(title="Loss, mean of 100 steps", xlabel="minutes", yscale="log")
    error_axes.set(title="Wrong on held-out scenes, per cent", xlabel="minutes", yscale="log")
    for axes in (loss_axes, error_axes):
        axes.legend(frameon=False)
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
