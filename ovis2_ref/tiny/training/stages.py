"""The three stages, each trained in separate processes, from its saved state to its end."""

import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

from ovis2_ref.checkpoint.names import VISION, expected_shapes
from ovis2_ref.config import Ovis2Config
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.memory import keep_freed_memory
from ovis2_ref.runtime.threads import set_num_threads
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.configuration import model_config, save, start_weights
from ovis2_ref.tiny.training.language_stage import LanguageStage
from ovis2_ref.tiny.training.optimisation import Gradients, Trainer, cut, flat
from ovis2_ref.tiny.training.pictures_stage import PicturesStage
from ovis2_ref.tiny.training.record import Record, load_state, write_rows
from ovis2_ref.tiny.training.vision_stage import VisionStage


@runtime_checkable
class Stage(Protocol):
    """What is trained, and on what: `draw` and `loss` of a batch in training, `measure` on held-out scenes.

    `steps` is the number of steps of a whole run, `rate` the highest learning rate, `trained` the weights by name.
    `processes` share every step, each with another batch.
    """

    steps: int
    rate: float
    processes: int
    trained: dict[str, Array]

    def __init__(self, weights: dict[str, Array], config: Ovis2Config, steps: int):
        """Prepare the weights and the held-out scenes, fewer of these where `steps` are fewer."""

    @property
    def draw(self) -> Callable[[int], tuple[Any, ...]]:
        """The function that draws the batch of a number."""

    def loss(self, w: Weights, *batch: Any) -> Array:
        """Compute the loss of a batch from the trained weights."""

    def measure(self, w: Weights) -> dict[str, float]:
        """Measure, in per cent, what is right: "right" in all, then by kind."""


STAGES: dict[str, type[Stage]] = {
    "vision": VisionStage,
    "language": LanguageStage,
    "pictures": PicturesStage,
}
DECAY = 1.1
"""The learning rate falls over this many times the steps that are taken, so it ends a little above its lowest."""
STEPS_BETWEEN_SAVES = 100
PATIENCE = 3600
"""Seconds that a process waits for another one before it takes it for ended."""


class Meeting:
    """Where the processes of a stage exchange their gradients: each has its own numbers in the memory that they share."""

    def __init__(self, context: SpawnContext, processes: int, size: int):
        """Make room for `size` numbers of each process."""
        self.processes, self.size = processes, size
        self.shared = context.RawArray(ctypes.c_float, processes * size)
        self.barrier = context.Barrier(processes)

    def mean(self, rank: int, gradients: Gradients) -> Gradients:
        """Return the mean of all processes' gradients; each adds them up in the same order, so all get the same bits."""
        numbers = np.asarray(self.shared).reshape(self.processes, -1)
        own = flat(gradients)
        numbers[rank, : own.size] = own
        self.barrier.wait(PATIENCE)
        mean = numbers[:, : own.size].sum(axis=0) / np.float32(self.processes)
        self.barrier.wait(PATIENCE)
        return cut(mean, gradients)


def run_stage(name: str, rank: int, meeting: Meeting | None, work: Path, fraction: float) -> None:
    """Train one stage in this process, number `rank` of those that share it and meet at `meeting`."""
    set_num_threads(1)
    keep_freed_memory()
    kind, config = STAGES[name], model_config()
    weights = start_weights(config, np.random.default_rng(0))
    if name == "pictures":
        for before in ("language", "vision"):
            weights |= _average(load_state(work / f"{before}.safetensors")[0])
    steps = max(1, round(kind.steps * fraction))
    with threadpool_limits(1):
        stage = kind(weights, config, steps)
        mean = (lambda gradients: meeting.mean(rank, gradients)) if meeting else (lambda gradients: gradients)
        trainer = Trainer(stage.trained, stage.rate, steps, round(DECAY * steps), mean)
        record = Record(work, name)
        record.resume(trainer)
        try:
            _train(stage, trainer, record, rank)
        finally:
            if meeting and trainer.step < steps:
                meeting.barrier.abort()  # let no other process wait for this one
    if name == "pictures" and rank == 0:
        tower = {key: weight for key, weight in weights.items() if key.startswith(VISION)}
        save(tower | trainer.average, work / "checkpoint")
        rows = [row for name in STAGES for row in load_state(work / f"{name}.safetensors")[1]["rows"]]
        write_rows(work / "log.csv", rows)


def _train(stage: Stage, trainer: Trainer, record: Record, rank: int) -> None:
    """Take the steps that are left, and save from time to time."""
    parent = multiprocessing.parent_process()
    while trainer.step < trainer.steps:
        batch = stage.draw(trainer.step * stage.processes + rank)
        record.losses.append(trainer.update(lambda w, batch=batch: stage.loss(w, *batch)))  # type: ignore[misc]
        between = min(STEPS_BETWEEN_SAVES, max(1, trainer.steps // 2))
        if (trainer.step % between == 0 or trainer.step == trainer.steps) and rank == 0:
            record.write(trainer, stage.measure(Weights(trainer.average)))
        if parent and not parent.is_alive():
            sys.exit("the command that started this stage has ended")


def _average(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the averaged weights of a state."""
    return {name.removeprefix("average/"): array for name, array in arrays.items() if name.startswith("average/")}


def run_side_by_side(names: tuple[str, ...], work: Path, fraction: float) -> None:
    """Train stages at the same time. Exit if one fails."""
    context = multiprocessing.get_context("spawn")
    numbers = sum(int(np.prod(shape)) for shape in expected_shapes(model_config()).values())
    processes = []
    for name in names:
        count = STAGES[name].processes
        meeting = Meeting(context, count, numbers) if count > 1 else None
        arguments = [(name, rank, meeting, work, fraction) for rank in range(count)]
        processes += [context.Process(target=run_stage, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a stage failed; its error is above")
