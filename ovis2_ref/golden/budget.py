"""Fit large values into a budget: keep some of their rows, and a checksum and moments of the whole."""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError


def largest_size(sizes: Iterable[int], budget: int) -> int:
    """Return the largest c for which the sum of min(size, c) over `sizes` (bytes) is at most `budget`.

    Raises `InputError` if not even a byte of each fits.
    """
    left, remaining = budget, sorted(sizes)
    while remaining:
        share = left // len(remaining)
        if share < 1:
            raise InputError(
                f"a budget of {budget} bytes is too small for so many values; raise it, or record fewer (--only)"
            )
        if remaining[0] > share:
            return share
        left -= remaining.pop(0)
    return budget


def drawn_rows(name: str, array: np.ndarray, most_bytes: int) -> np.ndarray | None:
    """Draw the indices of as many rows of the array as fit `most_bytes`, at least one; None if the whole array fits.

    All axes but the last are counted as one. The draw depends on the name and the shape alone.
    """
    if array.nbytes <= most_bytes:
        return None
    rows = array.size // array.shape[-1]
    count = min(rows, max(1, most_bytes // (array.shape[-1] * array.itemsize + 8)))
    generator = np.random.default_rng(zlib.crc32(f"{name} {array.shape}".encode()))
    return np.sort(generator.choice(rows, count, replace=False))


def moments(array: np.ndarray) -> dict[str, Any]:
    """Return an array's shape, checksum, and mean, standard deviation, smallest and largest of its finite numbers."""
    wide = array.astype(np.float64)
    wide = wide[np.isfinite(wide)] if np.isfinite(wide).any() else np.zeros(1)
    return {
        "shape": list(array.shape),
        "sha256": checksum(array),
        "mean": float(wide.mean()),
        "std": float(wide.std()),
        "min": float(wide.min()),
        "max": float(wide.max()),
    }


def checksum(array: np.ndarray) -> str:
    """Return the SHA-256 of the array's bytes, the last axis fastest."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def as_rows(array: np.ndarray) -> np.ndarray:
    """Return all axes but the last one as one."""
    return array.reshape(-1, array.shape[-1])
