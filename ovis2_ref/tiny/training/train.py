"""Train the tiny Ovis2: `python -m ovis2_ref.tiny.training.train STAGE --work FOLDER`, a process for each stage.

    vision     the vision tower alone          writes FOLDER/vision.pt
    language   the language model alone        writes FOLDER/language.pt   (may run beside the vision stage)
    joint      both, on pictures               starts from those two, writes the checkpoint

Every stage is seeded and runs on one thread; with the same versions on the same machine it gives the same weights.
This is the only place in the package that uses torch and transformers.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.configuration import model_config, save
from ovis2_ref.tiny.training.joint_stage import train_jointly
from ovis2_ref.tiny.training.language_stage import train_language
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.tokens import load_tokenizer
from ovis2_ref.tiny.training.vision_stage import train_vision

STEPS = {"vision": 5000, "language": 4000, "joint": 2000}
RATE = {"vision": 1.5e-3, "language": 1.5e-3, "joint": 5e-4}
FIRST_SEED = {"vision": 100_000_000, "language": 200_000_000, "joint": 300_000_000}


def reporter(write: Callable[[Trainer], None]) -> Callable[[Trainer, float, str], None]:
    """Make a function that prints how the training goes and writes its average weights."""
    start = time.monotonic()

    def report(trainer: Trainer, loss: float, text: str) -> None:
        print(f"step {trainer.step:5d}  {time.monotonic() - start:6.0f} s  loss {loss:.4f}  {text}", flush=True)
        write(trainer)

    return report


def run_stage(stage: str, work: Path, checkpoint: Path, steps: int, rate: float, first_seed: int) -> None:
    """Train one stage."""
    torch.manual_seed(0)
    model = Ovis2ForConditionalGeneration(model_config(load_tokenizer()))
    tower = model.model.vision_tower
    if stage == "vision":
        report = reporter(lambda trainer: torch.save(trainer.average.state_dict(), work / "vision.pt"))
        train_vision(tower, Trainer(tower, rate, steps), first_seed, report)
    elif stage == "language":
        tower.requires_grad_(False)
        report = reporter(lambda trainer: torch.save(trainer.average.state_dict(), work / "language.pt"))
        train_language(model, Trainer(model, rate, steps), first_seed, report)
    else:
        model.load_state_dict(torch.load(work / "language.pt"))
        tower.load_state_dict(torch.load(work / "vision.pt"))
        train_jointly(
            model, Trainer(model, rate, steps), first_seed, reporter(lambda trainer: save(trainer.average, checkpoint))
        )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train one stage of the tiny Ovis2.")
    parser.add_argument("stage", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, help="folder for what the stages hand on")
    parser.add_argument("--checkpoint", type=Path, default=TINY, help="folder that the joint stage writes")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--first-seed", type=int, help="seed of the first scene")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    run_stage(
        given.stage,
        given.work,
        given.checkpoint,
        given.steps or STEPS[given.stage],
        given.rate or RATE[given.stage],
        given.first_seed or FIRST_SEED[given.stage],
    )


if __name__ == "__main__":
    main()
