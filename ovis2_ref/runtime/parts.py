"""Parts: threads share the hidden units, or the heads, between the first and the last linear layer of a formula.

W_last f(W_first x) is a sum over the units: a thread takes some rows of W_first and the same columns of W_last, and needs nothing
of the other threads until the end. GPUs share a layer in this way (Shoeybi et al., 2019, section 3: tensor parallelism).
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.blocks import even_blocks
from ovis2_ref.runtime.tape import is_recorded
from ovis2_ref.runtime.taps import anybody_listens
from ovis2_ref.runtime.threads import inside_task, num_threads, run_tasks
from ovis2_ref.runtime.weights import Weights

Formula = TypeVar("Formula", bound=Callable[..., Array])

SMALLEST_PART = 2**21
"""Multiplications of a part with one of its first layers at least: a thread starts in the time of some 2^22."""


def by_parts(*first: str, last: str, unit: str = "") -> Callable[[Formula], Formula]:
    """Decorate a formula (x, w, config) whose layers `first` (all of one size) feed its layer `last`, each unit by itself.

    `unit` names the field of the configuration that says how many neighbours make a unit, the width of a head; else it is one.
    There are as many parts as threads; one thread has two as well, so that its bits are those of two threads. The sum over
    parts differs in its last bits from the undivided formula, which is computed for a single row, in 16 bits, and where
    somebody listens.
    """

    def decorate(formula: Formula) -> Formula:
        @wraps(formula)
        def call(x: Array, w: Weights, config: Any) -> Array:
            whole = array_module(x) is not np or is_half(x.dtype) or inside_task() or anybody_listens()
            if whole or is_recorded(x) or x.size < 2 * x.shape[-1]:
                return formula(x, w, config)
            w = w.held()  # a weight that is read on demand is read once
            neighbours = getattr(config, unit) if unit else 1
            units = (w / last)["weight"].shape[1] // neighbours
            count = min(max(2, num_threads()), units, x.size * units * neighbours // SMALLEST_PART)
            if count < 2:
                return formula(x, w, config)
            arrays = {f"{name}.{word}": (w / name)[word] for name in (*first, last) for word in _words(w / name)}
            parts = [_part(arrays, last, block, units) for block in even_blocks(units, count)]
            y, *terms = run_tasks([partial(formula, x, part, config) for part in parts])
            for term in terms:
                y += term
            return y

        return call  # type: ignore[return-value]

    return decorate


def _words(layer: Weights) -> tuple[str, ...]:
    return ("weight", "bias") if "bias" in layer else ("weight",)


def _part(arrays: dict[str, Array], last: str, block: slice, units: int) -> Weights:
    """Return the rows of the first layers and the columns of the last one for a block of units; its bias in the first part."""
    part = {}
    for name, array in arrays.items():
        of_last = name.startswith(f"{last}.")
        length = array.shape[-1] if of_last else len(array)
        place = slice(length * block.start // units, length * block.stop // units)
        if not of_last:
            part[name] = array[place]
        elif name.endswith("weight"):
            part[name] = array[:, place]
        elif block.start == 0:
            part[name] = array
    return Weights(part)
