"""Timing in turns: whatever else slows the machine down meets all programs alike."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

Run = Callable[[], Any]

PAUSE = 0.05
"""Seconds between two runs: the threads of OpenBLAS and OpenMP spin for a while after their work, and would slow the next run.

The pause is a busy one. A core of a virtual machine that sleeps is lent to others, and returns with other data in its caches:
a picture takes up to 8 ms longer then.
"""
LEAST, MOST = 2, 25
"""Turns."""
LONG = 1.0
"""Seconds of a run in which warming up no longer counts."""


def in_turns(runs: Mapping[str, Run], seconds: float, rivals: Collection[str] = ()) -> dict[str, list[float]]:
    """Seconds that each of `runs` took in each turn, for about `seconds` in all, but in two turns at least.

    Each turn has an order of its own: a program that always followed the same other one would find the caches as that left them.
    The first turn warms up and is not counted, unless there are no more than two. Of `rivals` only the fastest matters: one that
    took more than `LONG` seconds in the first turn, and half as long again as another, is not run in the next ones.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    turns, begin, orders = 0, time.perf_counter(), random.Random(0)
    while turns < LEAST or (turns <= MOST and time.perf_counter() - begin < seconds):
        for name in orders.sample(list(runs), len(runs)):
            if turns and name in rivals and taken[name][0] > max(LONG, 1.5 * min(taken[rival][0] for rival in rivals)):
                continue
            end_of_pause = time.perf_counter() + PAUSE
            while (start := time.perf_counter()) < end_of_pause:
                pass
            runs[name]()
            taken[name].append(time.perf_counter() - start)
        turns += 1
    return {name: times[1:] if len(times) > LEAST else times for name, times in taken.items()}
