"""Time and memory of a training step beside torch's: `python -m tests.benchmarks.bench_training_step [vision language pictures]`.

Both programs take the same steps on one thread from the same weights, in turns; the time is this process's processor time. The
memory is what a process of its own needs at most for three steps, beyond what it needs before them.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ovis2_ref.runtime.memory import keep_freed_memory
from ovis2_ref.runtime.threads import set_num_threads
from ovis2_ref.tiny.training.configuration import model_config, start_weights
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.stages import STAGES
from tests.tiny.in_torch import LOSSES, TorchTrainer, torch_model

TURNS, WARM_UP = 12, 2
LATE = 5000
"""Batches from this number on are those of a stage's end: of all grids."""


def steps(name):
    """Return the two programs' steps, each a function of a batch, and the function that draws one."""
    config = model_config()
    weights = start_weights(config, np.random.default_rng(0))
    stage = STAGES[name](weights, config, 30)
    ours = Trainer(stage.trained, stage.rate, 1000, 1100)
    theirs = TorchTrainer(torch_model(weights | stage.trained), name, stage.rate, 1100)
    programs = {
        "ovis2_ref": lambda batch: ours.update(lambda w: stage.loss(w, *batch)),
        "torch": lambda batch: theirs.update(LOSSES[name](theirs.model, *batch)),
    }
    return programs, stage.draw


def seconds(name):
    """Measure the processor time of each program's steps, in turns."""
    programs, draw = steps(name)
    taken = {program: [] for program in programs}
    for turn in range(WARM_UP + TURNS):
        batch = draw(LATE + turn)
        for program, step in programs.items():
            start = time.process_time()
            step(batch)
            taken[program].append(time.process_time() - start)
    return {program: np.array(times[WARM_UP:]) for program, times in taken.items()}


def megabytes(name, program):
    """Measure in this process how much more memory three steps need than there was before them."""
    programs, draw = steps(name)
    batches = [draw(LATE + turn) for turn in range(3)]
    Path("/proc/self/clear_refs").write_text("5")  # let the peak start from here (Linux)
    before = _kilobytes("VmRSS")
    for batch in batches:
        programs[program](batch)
    return (_kilobytes("VmHWM") - before) / 1024


def _kilobytes(field):
    """Read a field of this process's memory from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main(names):
    """Print a row for each stage."""
    torch.set_num_threads(1)
    set_num_threads(1)
    keep_freed_memory()
    with threadpool_limits(1):
        if names[:1] == ["--memory"]:
            print(megabytes(*names[1:]))
            return
        print("| stage | ovis2_ref, s | torch, s | ratio | of minima | memory, MB | torch, MB | ratio |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for name in names or STAGES:
            ours, theirs = seconds(name).values()
            command = [sys.executable, "-m", __spec__.name, "--memory", name]
            memory = [float(subprocess.check_output([*command, program])) for program in ("ovis2_ref", "torch")]
            times = f"{np.median(ours):.3f} | {np.median(theirs):.3f} | {np.median(ours / theirs):.2f}"
            of_minima = f"{ours.min() / theirs.min():.2f}"
            print(
                f"| {name} | {times} | {of_minima} | {memory[0]:.0f} | {memory[1]:.0f} | {memory[0] / memory[1]:.2f} |"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
