"""Where the time goes on a GPU, in bfloat16: milliseconds of each part, kernels by name, nodes of the recorded step.

    python -m tests.benchmarks.gpu_parts [--model Ovis2-1B]
    python -m tests.benchmarks.gpu_parts --tiny        # a dry run: a tiny model, on the CPU where there is no GPU

"until the last launch" is the CPU's share: where it is nearly all, the GPU waits for Python.
"""

import argparse
import time
from functools import partial
from statistics import median
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from torch.profiler import ProfilerActivity, profile

from ovis2_ref.config import Ovis2Config
from ovis2_ref.config.presets import preset
from ovis2_ref.generation.static import StaticStep
from ovis2_ref.runtime.arrays import device_module
from tests.benchmarks.bench_gpu import (
    DRY,
    FULL,
    Machine,
    Run,
    both_models,
    stages,
    synchronize,
    tiny_config,
    torch_device,
)

TURNS, REPLAYS, KERNELS = 5, 20, 14


def milliseconds(run: Run, xp: ModuleType) -> str:
    """Return the median of some turns, and of the time until everything was launched. The first turn isn't counted."""
    taken = []
    for _ in range(TURNS + 1):
        synchronize(xp)
        start = time.perf_counter()
        run()
        launched = time.perf_counter()
        synchronize(xp)
        taken.append((time.perf_counter() - start, launched - start))
    whole, launching = (1e3 * median(times) for times in zip(*taken[1:], strict=True))
    return f"{whole:.2f} ms, {launching:.2f} until the last launch"


def print_kernels(name: str, run: Run, xp: ModuleType) -> None:
    """Print the kernels of one run on a GPU, those that take longest first."""
    if torch_device() == "cpu":
        return
    with profile(activities=[ProfilerActivity.CUDA]) as taken:
        run()
        synchronize(xp)
    kernels = sorted(taken.key_averages(), key=lambda kernel: -kernel.self_device_time_total)
    whole, calls = sum(k.self_device_time_total for k in kernels), sum(k.count for k in kernels)
    print(f"{name}: {whole / 1e3:.3f} ms of the GPU in {calls} kernels")
    for kernel in kernels[:KERNELS]:
        print(f"  {kernel.self_device_time_total / 1e3:8.3f} ms {kernel.count:5} x {kernel.key[:110]}", flush=True)


def recorded_steps(ours: Any, ids: Any, new_tokens: int) -> list[tuple[StaticStep, Any]]:
    """Generate with a recorded step; print what it took to record and its nodes; return the step and what was recorded."""
    record, kept = StaticStep._record, []

    def watched(step: StaticStep, cupy: ModuleType) -> Any:
        start = time.perf_counter()
        recorded = record(step, cupy)
        taken, nodes = time.perf_counter() - start, recorded.graph.debug_dot_str()
        allocations = nodes.count("MEM_ALLOC")  # should be none: they would be made anew in each replay
        print(f"recorded in {taken:.3f} s: {nodes.count('label=')} nodes, {allocations} allocations")
        kept.append((step, recorded))
        return recorded

    with patch.object(StaticStep, "_record", watched):
        ours.generate(
            ids, max_new_tokens=new_tokens, do_sample=False, eos_token_id=None, pad_token_id=None,
            cache_implementation="static",
        )  # fmt: skip
    return kept


def replay(step: StaticStep, recorded: Any, times: int) -> None:
    """Launch a recorded step so many times. Each launch moves on by a place, so it starts so many before the cache's end."""
    step._cache.next[...] = step._cache.length_after(1) - times
    for _ in range(times):
        recorded.graph.launch()


def main(argv: list[str] | None = None) -> None:
    """Print the time of each stage, beside transformers', and the kernels that it goes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="Ovis2-1B")
    parser.add_argument("--tiny", action="store_true", help="a dry run: a tiny model and little work")
    arguments = parser.parse_args(argv)
    xp = device_module("auto" if arguments.tiny else "cuda")
    config = tiny_config() if arguments.tiny else Ovis2Config.from_dict(preset(arguments.model))
    work, machine = DRY if arguments.tiny else FULL, Machine(xp, torch_device(), 1.0, {})
    ours, theirs = both_models(config, "bfloat16", machine)
    runs = stages(ours, theirs, config, work, machine, "bfloat16")
    for stage in ("encode", "prefill"):
        for program, run in runs[stage].items():
            print(f"{stage}, {program}: {milliseconds(run, xp)}", flush=True)
    ids = xp.asarray(np.random.default_rng(0).integers(0, config.image_token_id, (1, work.prompt)))
    cache = ours.new_cache(1, work.prompt + 1)
    ours(input_ids=ids, past_key_values=cache, logits_to_keep=1)

    def step() -> None:
        ours(input_ids=ids[:, :1], past_key_values=cache)
        cache.crop(work.prompt)

    print(f"a step: {milliseconds(step, xp)}", flush=True)
    for static, recorded in recorded_steps(ours, ids, work.new_tokens):
        print(f"{REPLAYS} replays: {milliseconds(partial(replay, static, recorded, REPLAYS), xp)}")
        print_kernels("recorded step", partial(replay, static, recorded, 1), xp)
    for stage, program in (("encode", "ovis2_ref"), ("prefill", "ovis2_ref"), ("encode", "sdpa"), ("prefill", "sdpa")):
        print_kernels(f"{stage}, {program}", runs[stage][program], xp)


if __name__ == "__main__":
    main()
