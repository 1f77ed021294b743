"""How far two correct programs may be apart, by the standard analysis of rounding (Higham, Accuracy and Stability, 2002).

An operation is off by u = eps / 2 of its result; a sum of n numbers, in any order, by (n - 1) u of the sum of their sizes; a
product of vectors by n u |a| |b| (sections 2.2, 3.1, 4.2). What is computed from it multiplies an error by its condition. Two
programs are each as far from the truth, so n u of one are n eps between both. Numbers of 16 bits are computed in float32, then
rounded: each program's to one of the two neighbours.
"""

import ml_dtypes
import numpy as np


def eps(dtype: np.dtype) -> float:
    """The distance from 1 to the next number of the type."""
    return float(ml_dtypes.finfo(dtype).eps)


def computing_eps(dtype: np.dtype) -> float:
    """eps of the type that computes: float32 for 16 bits, the type itself for the others."""
    return max(eps(np.dtype(np.float64)), min(eps(dtype), eps(np.dtype(np.float32))))


def smallest_step(dtype: np.dtype) -> float:
    """The distance between neighbours around 0: nothing is nearer. (Libraries may take float32's subnormal numbers for 0.)"""
    narrow, wide = ml_dtypes.finfo(dtype), np.finfo(np.float64 if dtype.itemsize == 8 else np.float32)
    return max(float(narrow.smallest_subnormal), float(wide.smallest_normal))


def expect_within(ours: np.ndarray, theirs: np.ndarray, error: np.ndarray | float, roundings: int = 1) -> None:
    """Fail unless two arrays of one type differ by at most `error` times eps of the type that computes.

    In 16 bits by `roundings` times eps of these 16 bits more, relative to the value itself.
    """
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    dtype = theirs.dtype
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    bound = computing_eps(dtype) * error + smallest_step(dtype)
    if dtype.itemsize == 2:
        bound = bound + roundings * eps(dtype) * np.maximum(np.abs(ours), np.abs(theirs))
    ratio = np.abs(ours - theirs) / bound
    assert (ratio <= 1).all(), f"off by up to {ratio.max():.3g} times the bound"
