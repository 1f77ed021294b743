"""Bring an array of another program into the layout of a tap: other axes, flattened, without a batch, cut off, padded."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, permutations
from math import prod
from operator import mul
from typing import NamedTuple

import numpy as np

from ovis2_ref.runtime.arrays import Array

SAMPLES = 4096
"""Numbers of two arrays that are compared to measure their similarity."""
HUGE = 1e30
"""Numbers at least this large mask scores; they would hide all others in a norm."""
MOST_AXES = 5
"""Axes of which every order is tried."""
ALIKE = 0.5
"""Arrays are taken for the same value if they differ by less than half of its norm."""


class Layout(NamedTuple):
    """An array in the layout of a tap, and what was done to it."""

    array: Array
    how: str = ""


def arrange(
    array: Array, shape: tuple[int, ...], look_up: Callable[[], Array] | None = None, rows: Array | None = None
) -> Layout | None:
    """Return `array` in the layout of a tap of that shape, or, where it has other counts of tiles or tokens, of as many axes.

    Of several possible layouts, take the one most like the expected array, which is looked up only then, and of which only
    `rows` may be there. Return None if there is no layout.
    """
    options = list(_layouts(array, shape))
    if not options:
        return None
    if look_up is None or len(options) == 1:
        return options[0]
    expected = look_up()

    def alike(option: Layout) -> float:
        part = option.array
        if rows is not None:
            part = part.reshape(-1, part.shape[-1])[rows] if part.shape == shape else part
        return similarity(part, expected) if np.array_equal(_masked(part), _masked(expected)) else 0.0

    likeness = [alike(option) for option in options]
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
    if array.size != prod(shape):
        yield from _other_counts(array, shape)


def _permuted(array: Array, shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield the array with ggml's order of axes, and with every order of the tap's axes that it can have.

    Axes of 1 may be missing, and axes that follow each other may be one, or one of them several: (n, channels, rows, columns)
    holds (n, patches, channels). ggml names the fastest axis first: an array (128, 20, 1) has the numbers of (1, 20, 128).
    """
    sizes = [size for size in shape if size != 1]
    given = [size for size in array.shape if size != 1]
    if len(sizes) > MOST_AXES:
        return
    if given == sizes[::-1] != sizes:
        yield Layout(array.reshape(shape), "ggml's order of axes")
    for order in permutations(range(len(sizes))):
        stored = [sizes[axis] for axis in order]
        if not _parts_of_each_other(given, stored):
            continue
        if list(order) != sorted(order):
            back = np.argsort(order)
            yield Layout(array.reshape(stored).transpose(back).reshape(shape), f"axes {tuple(int(i) for i in back)}")
        elif array.shape != shape:
            yield Layout(array.reshape(shape), "reshaped")


def _parts_of_each_other(a: Sequence[int], b: Sequence[int]) -> bool:
    """Return True if one of two shapes becomes the other by joining neighbouring axes."""
    ends = [{*accumulate(shape, mul)} for shape in (a, b)]
    return ends[0] <= ends[1] or ends[1] <= ends[0]


def _trimmed(array: Array, width: int) -> Iterator[Layout]:
    """Yield the rows without a second copy of every number, as rotary tables may have, or without zeros or masked scores at
    their end: padding, or the free places of a static cache.
    """
    rest = array[..., width:]
    if array.shape[-1] == 2 * width and np.array_equal(array[..., :width], rest):
        yield Layout(array[..., :width], "first half")
    elif not np.any(rest) or (rest <= -HUGE).all():
        what = "zeros" if not np.any(rest) else "masked scores"
        yield Layout(array[..., :width], f"without {rest.shape[-1]} columns of {what}")


def _other_counts(array: Array, shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield the array for a value with other counts of tiles, tokens or keys: with the same axes, or with axes of 1 added."""
    missing = len(shape) - array.ndim
    if missing < 0 or array.ndim == 0:
        if shape and array.size and array.size % prod(shape[1:]) == 0:  # the patch embedding of other tiles
            yield from _permuted(array, (array.size // prod(shape[1:]), *shape[1:]))
        return
    whole = array.reshape((1,) * missing + array.shape)
    scores = len(shape) == 4 and whole.shape[1] == shape[1]  # of other counts of queries and keys
    if len(shape) <= 2 or whole.shape[-1] == shape[-1] or scores:
        yield Layout(whole, "a batch of one" if missing else "")
