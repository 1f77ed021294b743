"""The three stages, each trained in separate processes, from its saved state to its end."""

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import distributed, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.configuration import model_config, save
from ovis2_ref.tiny.training.language_stage import LanguageStage
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.pictures_stage import PicturesStage
from ovis2_ref.tiny.training.record import Record, load_state, write_rows
from ovis2_ref.tiny.training.tokens import load_tokenizer
from ovis2_ref.tiny.training.vision_stage import VisionStage


class Stage(Protocol):
    """What is trained, and on what: `draw` and `loss` of a batch in training, `measure` on held-out scenes.

    `steps` is the number of steps of a whole run, `rate` the highest learning rate.
    `processes` share every step, each with another batch.
    """

    steps: int
    rate: float
    processes: int
    trained: nn.Module

    def __init__(self, model: Ovis2ForConditionalGeneration, steps: int):
        """Prepare the model's weights and the held-out scenes, fewer of these where `steps` are fewer."""

    @property
    def draw(self) -> Callable[[int], tuple[Any, ...]]:
        """The function that draws the batch of a number: tensors on the CPU."""

    def loss(self, *batch: Any, **_: Any) -> torch.Tensor:
        """Compute the loss of a batch, given where the model lies."""

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Measure, in per cent, what is right: "right" in all, then by kind."""


STAGES: dict[str, type[Stage]] = {
    "vision": VisionStage,
    "language": LanguageStage,
    "pictures": PicturesStage,
}
DECAY = 1.1
"""The learning rate falls over this many times the steps that are taken, so it ends a little above its lowest."""
STEPS_BETWEEN_SAVES = 100
DRAWING_PROCESSES = 6
"""Processes that draw batches ahead, for each that trains on a GPU. On a CPU there is nothing to gain: each draws its own."""


class Batches(Dataset):
    """A stage's batches by number, as torch's loader reads them."""

    def __init__(self, draw: Callable[[int], tuple[Any, ...]]):
        self.draw = draw

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        """Draw the batch of this number."""
        return self.draw(number)


def run_stage(name: str, rank: int, meeting_place: Path, work: Path, fraction: float) -> None:
    """Train one stage in this process, number `rank` of those that share it and synchronise through a file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = STAGES[name]
    model = Ovis2ForConditionalGeneration(model_config(load_tokenizer())).to(device)
    if name == "pictures":
        model.load_state_dict(load_state(work / "language.pt", device)["average"])
        model.model.vision_tower.load_state_dict(load_state(work / "vision.pt", device)["average"])
    steps = max(1, round(kind.steps * fraction))
    stage = kind(model, steps)
    trainer = Trainer(stage.trained, stage.rate, steps, round(DECAY * steps))
    record = Record(work, name)
    record.resume(trainer, device)
    if kind.processes > 1:
        distributed.init_process_group("gloo", f"file://{meeting_place}", rank=rank, world_size=kind.processes)
    numbers = range(trainer.step * kind.processes + rank, steps * kind.processes, kind.processes)
    drawing = DRAWING_PROCESSES if device.type == "cuda" else 0
    parent = multiprocessing.parent_process()
    for drawn in DataLoader(Batches(stage.draw), batch_size=None, sampler=numbers, num_workers=drawing):
        record.losses.append(trainer.update(stage.loss(*(part.to(device) for part in drawn))))
        is_time = trainer.step % min(STEPS_BETWEEN_SAVES, max(1, steps // 2)) == 0 or trainer.step == steps
        if is_time and rank == 0:
            record.write(trainer, stage.measure(trainer.average))
        if parent and not parent.is_alive():
            sys.exit("the command that started this stage has ended")
    if name == "pictures" and rank == 0:
        save(trainer.average, work / "checkpoint")
        write_rows(work / "log.csv", [row for name in STAGES for row in load_state(work / f"{name}.pt")["rows"]])


def run_side_by_side(names: tuple[str, ...], work: Path, fraction: float) -> None:
    """Train stages at the same time. Exit if one fails."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=run_stage, args=(name, rank, Path(folder) / name, work, fraction))
            for name in names
            for rank in range(STAGES[name].processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a stage failed; its error is above")
