"""A matrix product whose matrix is a band: each row of W has few weights, side by side, so W is cut into small dense blocks.

Resizing a 4000x3000 picture to 1344 x 1344 so takes 100 times fewer multiplications. Several threads share the blocks.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from ovis2_ref.runtime.arrays import Array, array_module, to_device
from ovis2_ref.runtime.blocks import run_in_turn
from ovis2_ref.runtime.threads import run_tasks

BLOCK_BYTES = 2**24
"""Bytes of a block of pixels as float64, the work of one task. With smaller blocks the overhead of tasks shows."""
BLOCK_WINDOW = 64
"""Input pixels of a block of W, about. A wider block holds more zeros; narrower blocks mean more products."""


def band_product(
    band: Any,
    picture: UInt8[Array, "channels height width"],
    axis: int,
    finish: Callable[[Float64[Array, "..."]], Array],
) -> UInt8[Array, "channels new_height new_width"]:
    """finish(W picture) for axis 1, finish(picture W^T) for axis 2, with `finish` a function of each number by itself.

    `band` gives W as windows: the first input pixel of every output pixel (`first`), its `weights`, and `size_in`. The sums are
    exact (see `resize`), so the blocks change no bit.
    """
    xp = array_module(picture)
    blocks = [(*place, to_device(block, xp)) for *place, block in _dense_blocks(band)]
    shape = list(picture.shape)
    shape[axis] = len(band.first)
    out = xp.empty(tuple(shape), np.uint8)
    step = max(1, BLOCK_BYTES // (8 * picture.shape[axis]))

    def run(channel: int, begin: int) -> None:
        part = slice(begin, begin + step)
        if axis == 1:
            pixels = picture[channel, :, part].astype(np.float64)
            for lo, hi, start, stop, block in blocks:
                out[channel, lo:hi, part] = finish(block @ pixels[start:stop])
        else:
            pixels = picture[channel, part].astype(np.float64)
            for lo, hi, start, stop, block in blocks:
                out[channel, part, lo:hi] = finish(pixels[:, start:stop] @ block.T)

    places = product(range(picture.shape[0]), range(0, picture.shape[3 - axis], step))
    (run_tasks if xp is np else run_in_turn)([partial(run, *place) for place in places])
    return out


def _dense_blocks(windows: Any) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """Cut W into dense blocks: outputs lo to hi, inputs start to stop, and their weights."""
    size_out, taps = windows.weights.shape
    outputs = min(32, max(8, BLOCK_WINDOW * size_out // windows.size_in))
    for lo in range(0, size_out, outputs):
        first, weights = windows.first[lo : lo + outputs], windows.weights[lo : lo + outputs]
        start, stop = int(first[0]), min(int(first[-1]) + taps, windows.size_in)
        block = np.zeros((len(first), int(first[-1]) - start + taps))
        block[np.arange(len(first))[:, None], first[:, None] - start + np.arange(taps)] = weights
        yield lo, lo + len(first), start, stop, np.ascontiguousarray(block[:, : stop - start])
