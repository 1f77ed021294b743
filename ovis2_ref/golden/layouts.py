"""Bring an array of another program into the layout of a tap: other axes, flattened, without a batch, cut off, padded."""

from collections.abc import Iterator
from itertools import permutations
from math import prod
from typing import NamedTuple

import numpy as np

from ovis2_ref.runtime.arrays import Array

SAMPLES = 4096
"""Numbers of two arrays that are compared to measure their similarity."""
HUGE = 1e30
"""Numbers at least this large mask scores; they would hide all others in a norm."""
ALIKE = 0.5
"""Arrays are taken for the same value if they differ by less than half of its norm."""


class Layout(NamedTuple):
    """An array in the layout of a tap, and what was done to it."""

    array: Array
    how: str = ""


def arrange(array: Array, shape: tuple[int, ...], expected: Array | None = None) -> Layout | None:
    """Return `array` in the layout of a tap of that shape, or, where it has other counts of tiles or tokens, of as many axes.

    Of several possible layouts, take the one most like `expected`; None if there is none.
    """
    options = list(_layouts(array, shape))
    if not options:
        return None
    if expected is None or len(options) == 1:
        return options[0]
    likeness = [
        similarity(option.array, expected) if np.array_equal(_masked(option.array), _masked(expected)) else 0.0
        for option in options
    ]
    best = int(np.argmax(likeness))
    # Keep the plain layout unless another one is clearly right: a wrong value may be a little like anything.
    return options[0] if likeness[0] > ALIKE or likeness[best] <= ALIKE else options[best]


def _masked(array: Array) -> Array:
    """Return true for the numbers that mask scores."""
    return np.abs(array) >= HUGE


def similarity(value: Array, expected: Array) -> float:
    """1 - |value - expected| / |expected| over some numbers of two arrays of one shape; 0 for other shapes, or worse."""
    if value.shape != expected.shape or not value.size:
        return 0.0
    step = max(1, value.size // SAMPLES)
    a, b = (x.reshape(-1)[::step].astype(np.float64) for x in (value, expected))
    usual = np.maximum(np.abs(a), np.abs(b)) < HUGE
    a, b = a[usual], b[usual]
    if not b.size:
        return 0.0
    size = np.linalg.norm(b)
    return max(0.0, 1 - float(np.linalg.norm(a - b) / size)) if size else float(not np.any(a))


def _layouts(array: Array, shape: tuple[int, ...]) -> Iterator[Layout]:
    if array.shape == shape:
        yield Layout(array)
    if array.size == prod(shape):
        yield from _permuted(array, shape)
    elif array.ndim == len(shape) and array.shape[-1] > shape[-1]:
        yield from _trimmed(array, shape[-1])
    if array.size != prod(shape) or array.shape != shape:
        yield from _other_counts(array, shape)


def _permuted(array: Array, shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield every order of the tap's axes that the array can have."""
    sizes = [size for size in shape if size != 1]
    given = [size for size in array.shape if size != 1]
    for order in permutations(range(len(sizes))):
        stored = [sizes[axis] for axis in order]
        if len(given) == len(stored) and given != stored:
            continue
        if list(order) == sorted(order):
            if array.shape != shape:
                yield Layout(array.reshape(shape), "reshaped")
        else:
            back = np.argsort(order)
            yield Layout(array.reshape(stored).transpose(back).reshape(shape), f"axes {tuple(int(i) for i in back)}")


def _trimmed(array: Array, width: int) -> Iterator[Layout]:
    """Yield the rows without a second copy of every number, as rotary tables may have, or without zeros at their end."""
    if array.shape[-1] == 2 * width and np.array_equal(array[..., :width], array[..., width:]):
        yield Layout(array[..., :width], "first half")
    elif not np.any(array[..., width:]):
        yield Layout(array[..., :width], f"without {array.shape[-1] - width} columns of zeros")


def _other_counts(array: Array, shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield the array for a value with other counts of tiles, tokens or keys: with the same axes, or with a batch axis added."""
    for candidate, how in ((array, ""), (array[None], "a batch of one")):
        if candidate.ndim == len(shape) and (
            len(shape) <= 2 or candidate.shape[-1] == shape[-1] or candidate.shape[:-2] == shape[:-2]
        ):
            yield Layout(candidate, how)
            return
