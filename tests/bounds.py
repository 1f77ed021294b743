"""How far two correct programs may be apart, by the standard analysis of rounding (Higham, Accuracy and Stability, 2002).

An operation is off by u = eps / 2 of its result; a sum of n numbers, in any order, by (n - 1) u of the sum of their sizes; a
product of vectors by n u |a| |b| (sections 2.2, 3.1, 4.2). What is computed from it multiplies an error by its condition. Two
programs are each as far from the truth, so n u of one are n eps between both. Numbers of 16 bits are computed in float32, then
rounded: each program's to one of the two neighbours.
"""

import ml_dtypes
import numpy as np

FLOAT64 = 450 * 1000 * np.finfo(np.float64).eps
"""1e-10: how far two programs may be apart, relative to the largest value, that compute a drawn model in float64.

The longest sums have 450 products (the head, over 48 x 3 x 3 merged features), and an RMSNorm enlarges an error by up to
1 / sqrt(1e-6) = 1000, with the smallest epsilon drawn. A part computed in float32 would be off by 1e-7.
"""

FLOAT32 = 64 * np.finfo(np.float32).eps
"""Where transformers' own error is small by chance: eps times the root of the additions on the longest path, 4,000 at most."""


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


def allowed(dtype: np.dtype, error: np.ndarray | float, values: np.ndarray, roundings: int = 1) -> np.ndarray:
    """How far results of that type may be apart whose computation is off by `error` times eps of the type that computes.

    In 16 bits, `roundings` times eps of these 16 bits of the `values` more.
    """
    bound = computing_eps(dtype) * error + smallest_step(dtype)
    return bound + roundings * eps(dtype) * np.abs(values.astype(np.float64)) if dtype.itemsize == 2 else bound


def expect_within(ours: np.ndarray, theirs: np.ndarray, error: np.ndarray | float, roundings: int = 1) -> None:
    """Fail unless two arrays of one type differ by at most what is `allowed`."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    larger = np.maximum(np.abs(ours), np.abs(theirs))
    off = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    ratio = off / allowed(theirs.dtype, error, larger, roundings)
    assert (ratio <= 1).all(), f"off by up to {ratio.max():.3g} times the bound"


def rms_norm_error(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The mean of squares plus eps is off by (n + 2) u, its root by half of that; root, inverse, two products: n / 2 + 5.

    Numbers of 16 bits are rounded before the weight, too: at its smallest step where they are small.
    """
    step = smallest_step(y.dtype) / computing_eps(y.dtype)
    return (y.shape[-1] / 2 + 5) * np.abs(y.astype(np.float64)) + step * np.abs(weight.astype(np.float64))


def layer_norm_error(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    """w z + b with z = (x - mean) / s and s^2 = var + epsilon: where the mean is large, x - mean keeps its error.

    The mean is off by n u max |x|, x - mean by u max |x| more, or by three, where it is taken as x / s - mean / s (torch). With
    k = max |x| / s, z is off by (n + 3) k u. The variance is off by n u of itself, or by n k u where made in one pass (torch
    does; Chan, Golub and LeVeque, 1983), s by half of that and 2 u. The quotient, the product and the sum: 3 u.
    """
    n, x, weight, bias = x.shape[-1], *(values.astype(np.float64) for values in (x, weight, bias))
    s = np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
    z = np.abs(x - x.mean(axis=-1, keepdims=True)) / s
    k = np.abs(x).max(axis=-1, keepdims=True) / s
    return ((n + 3) * k + ((n / 2 + 2) * (1 + k) + 3) * z) * np.abs(weight) + np.abs(bias)


def softmax_error(x: np.ndarray) -> np.ndarray:
    """An exponent d = x - max is off by |d| u, so exp(d) by |d| u of itself, and by the function's own 4 u.

    (NumPy's, torch's and CUDA's exp are within 2 units in the last place.) The sum of n positive numbers is off by (n - 1) u and
    by the mean of what they are off by, the division by u.
    """
    d = x.max(axis=-1, keepdims=True).astype(np.float64) - x.astype(np.float64)
    p = np.exp(-d) / np.exp(-d).sum(axis=-1, keepdims=True)
    return (d + (p * d).sum(axis=-1, keepdims=True) + 8 + x.shape[-1]) * p


def expect_no_worse(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray) -> None:
    """Fail unless our largest float32 error is at most 8 times theirs on the same draw, and `FLOAT32` of the largest value.

    Both round the same sums in other orders: what a drawn model enlarges, it enlarges in both.
    """
    assert ours.shape == theirs.shape == exact.shape
    our_error, their_error = (np.abs(y - exact).max(initial=0) for y in (ours, theirs))
    bound = 8 * their_error + FLOAT32 * np.abs(exact).max(initial=0)
    assert our_error <= bound, f"off by {our_error:.3g}, bound {bound:.3g}; their error {their_error:.3g}"
