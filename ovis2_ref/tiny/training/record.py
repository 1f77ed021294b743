"""The files of a stage: its whole state, to continue from, and its log."""

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import safetensors.numpy

from ovis2_ref.checkpoint.safetensors_file import open_with_metadata
from ovis2_ref.files.writing import replacing
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.questions import ASKERS

COLUMNS = ("stage", "step", "seconds", "rate", "loss", "right", "shapes", *ASKERS)
"""`loss` is the mean since the row before. The rest is in per cent, of held-out scenes: `right` of all cells (vision
stage) or answers (others), `shapes` of the cells that show a shape, then the answers to each kind of request."""


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write a log as CSV, whole or not at all."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(unfinished, path)


def load_state(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Load a stage's state: its arrays, and its counts with the rows of the log."""
    tensors, metadata = open_with_metadata(path)
    return {name: tensor.read(tensor.dtype) for name, tensor in tensors.items()}, json.loads(metadata["state"])


class Record:
    """A stage's state and log in a folder: `FOLDER/STAGE.safetensors` and `FOLDER/STAGE.csv`."""

    def __init__(self, folder: Path, stage: str):
        self.stage = stage
        self.state_path, self.log_path = folder / f"{stage}.safetensors", folder / f"{stage}.csv"
        self.rows: list[dict] = []
        self.losses: list[float] = []
        self.start = self.last = time.monotonic()

    def resume(self, trainer: Trainer) -> None:
        """Continue from the saved state, if there is one. Raise ValueError if it was made for another number of steps."""
        if not self.state_path.exists():
            return
        arrays, counts = load_state(self.state_path)
        if counts["steps"] != trainer.steps:
            raise ValueError(
                f"{self.state_path} is of a run of {counts['steps']} steps, not {trainer.steps}: "
                "give the same --fraction as then, or another --work folder"
            )
        trainer.load_state(arrays, counts)
        self.rows = counts["rows"]
        self.start -= self.rows[-1]["seconds"]

    def write(self, trainer: Trainer, measured: dict[str, float]) -> None:
        """Add a row to the log, save log and state, and print the progress."""
        now = time.monotonic()
        steps_since = trainer.step - (self.rows[-1]["step"] if self.rows else 0)
        left = (trainer.steps - trainer.step) * (now - self.last) / steps_since
        self.last = now
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        row = {
            "stage": self.stage,
            "step": trainer.step,
            "seconds": round(now - self.start),
            "rate": float(f"{trainer.learning_rate():.3g}"),
            "loss": round(loss, 4),
            **{name: round(float(value), 2) for name, value in measured.items()},
        }
        self.rows.append(row)
        arrays, counts = trainer.state()
        with replacing(self.state_path) as file:
            file.write(safetensors.numpy.save(arrays, {"state": json.dumps({**counts, "rows": self.rows})}))
        write_rows(self.log_path, self.rows)
        weakest = min(measured, key=lambda name: measured[name])
        print(
            f"{self.stage:8} step {trainer.step:4}/{trainer.steps}  loss {loss:.4f}  right {measured['right']:5.2f} %"
            f"  weakest {measured[weakest]:5.2f} % ({weakest})  {left / 60:.0f} min left in this stage",
            flush=True,
        )
