"""Every operation on the device, in all four types, against the same operation in float64 on the CPU, from the same inputs.

Norms and softmax are held to the bounds of `tests/bounds.py`. A sum of k products is off by (k + 2) eps_sum |A| |B|; sums of
16-bit products are carried in float32, and rounded once more to the type. Activations are off by eight roundings.
"""

from itertools import product
from types import ModuleType

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.image.filters import FILTERS
from ovis2_ref.image.resize import pillow_resize, torch_resize
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import attend, gated, layer_norm, linear, matmul, rms_norm, scale, softmax
from ovis2_ref.runtime.arrays import DTYPES, array_module, sum_dtype, to_device, to_host
from ovis2_ref.runtime.gpu import fusion, kernels
from ovis2_ref.runtime.gpu.fused_attention import attend_in_one, fused_attention, takes
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.weights import Weights
from tests.bounds import allowed, eps, layer_norm_error, rms_norm_error, softmax_error
from tests.strategies import seeds

sizes = st.integers(1, 70)
widths = sizes | st.integers(257, 900)
"""Sizes of rows: for one warp of a GPU, or several."""
dtypes = st.sampled_from(list(DTYPES.values()))


def drawn(seed: int, dtype: np.dtype, *shape: int) -> np.ndarray:
    """Normal numbers rounded to `dtype`."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def expect(there: object, truth: np.ndarray, dtype: np.dtype, bound: np.ndarray | float) -> None:
    """Fail unless the device array has the type, and lies within `bound` of the truth."""
    assert array_module(there) is not np
    values = to_host(there)
    assert values.dtype == dtype
    assert (abs(values.astype(np.float64) - truth) <= bound).all()


def part(arrays: list[np.ndarray], xp: ModuleType) -> Weights:
    """Return a part of a model on the device: its weight, and its bias if there are two arrays."""
    return Weights(dict(zip(("weight", "bias"), (to_device(x, xp) for x in arrays), strict=False)))


LAYOUTS = {
    "by rows": lambda x, xp: x,
    "by columns": lambda x, xp: xp.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "the first rows of more, as in a cache": lambda x, xp: xp.concatenate([x, x], axis=-2)[..., : x.shape[-2], :],
    "the first columns of more": lambda x, xp: xp.concatenate([x, x], axis=-1)[..., : x.shape[-1]],
    "every second row": lambda x, xp: xp.repeat(x, 2, axis=-2)[..., ::2, :],
    "every second number": lambda x, xp: xp.repeat(x, 2, axis=-1)[..., ::2],
    "one row for all": lambda x, xp: xp.broadcast_to(x[..., :1, :], x.shape),
}
"""How the numbers of a stack of matrices may lie. (cuBLAS can't read the last two as they are.)"""
layouts = st.sampled_from(list(LAYOUTS))
HEADS = {
    "one after the other": to_device,
    "side by side in each token": lambda x, xp: to_device(x.swapaxes(1, 2).copy(), xp).swapaxes(1, 2),
}
"""How heads may lie, (batch, heads, tokens, head_dim)."""


@given(seeds, dtypes, st.sampled_from([(), (3,), (2, 3)]), sizes, sizes, sizes, layouts, layouts)
def test_matmul(
    xp: ModuleType, seed: int, dtype: np.dtype, batch: tuple[int, ...], n: int, k: int, m: int, of_a: str, of_b: str
) -> None:
    """Products of two matrices and of stacks, however they lie."""
    a = LAYOUTS[of_a](to_device(drawn(seed, dtype, *batch, n, k), xp), xp)
    b = LAYOUTS[of_b](to_device(drawn(seed + 1, dtype, *batch, k, m), xp), xp)
    wide_a, wide_b = (to_host(x).astype(np.float64) for x in (a, b))
    truth, size = wide_a @ wide_b, abs(wide_a) @ abs(wide_b)
    expect(matmul(a, b), truth, dtype, (k + 2) * eps(sum_dtype(dtype)) * size + eps(dtype) * abs(truth) + 1e-30)


few = st.integers(1, 3)


@given(
    seeds,
    dtypes,
    few,
    few,
    few,
    st.integers(1, 9),
    sizes,
    st.integers(1, 9),
    st.sampled_from(list(HEADS)),
    st.booleans(),
)
def test_attend(
    xp: ModuleType, seed: int, dtype: np.dtype, batch: int, kv_heads: int, group: int, tokens: int, keys: int, half: int,
    lie: str, masked: bool,
) -> None:  # fmt: skip
    """Attention of grouped heads that lie side by side in each token, or one after the other as in a cache.

    A score is a sum of products that is rounded three times in 16 bits; a weight is off by twice the error of the scores,
    relatively, and by its own rounding.
    """
    head_dim, heads = 2 * half, kv_heads * group
    q = drawn(seed, dtype, batch, heads, tokens, head_dim)
    k, v = (drawn(seed + i, dtype, batch, kv_heads, keys, head_dim) for i in (1, 2))
    mask = None
    if masked:
        hidden = np.random.default_rng(seed).random((batch, 1, tokens, keys)) < 0.4
        hidden[..., 0] = False
        mask = np.where(hidden, ml_dtypes.finfo(dtype).min, 0).astype(dtype)
    wide_q, wide_k, wide_v, wide_mask = (None if x is None else x.astype(np.float64) for x in (q, k, v, mask))
    truth = attend(wide_q, wide_k, wide_v, wide_mask, Weights({}))
    device = [HEADS[lie](x, xp) for x in (q, k, v)] + [None if mask is None else to_device(mask, xp), Weights({})]
    there = attend(*device)
    largest = np.linalg.norm(wide_q, axis=-1).max() * np.linalg.norm(wide_k, axis=-1).max()
    of_scores = (3 * eps(dtype) + (head_dim + 2) * eps(sum_dtype(dtype))) * largest
    bound = (4 * of_scores + 4 * eps(dtype) + (keys + 4) * eps(sum_dtype(dtype))) * abs(wide_v).max()
    expect(there, truth, dtype, bound)
    with recording() as taps:
        expect(attend(*device), truth, dtype, bound)
    assert list(taps) == ["scores", "weights"]


@given(
    seeds, st.sampled_from(["float16", "bfloat16"]), st.integers(1, 2), few, st.integers(1, 2), st.integers(16, 150),
    st.integers(1, 150), st.sampled_from([16, 48, 128]), st.sampled_from(list(HEADS)),
    st.sampled_from([None, "holes", "all but one", "causal"]), st.sampled_from([0.1, 1.0, 4.0]),
)  # fmt: skip
def test_attend_in_one(
    xp: ModuleType, seed: int, dtype: str, batch: int, kv_heads: int, group: int, tokens: int, keys: int, head_dim: int,
    lie: str, masked: str | None, spread: float,
) -> None:  # fmt: skip
    """The kernel of attention: scores are float32, so only the rounded weights, their sum and the result are off.

    A score's error is that of a sum of head_dim products, times the factor. An exponential of a float32 number d is off by
    |d| eps, d being at most the difference of two scores.
    """
    kind = DTYPES[dtype]
    q = drawn(seed, kind, batch, kv_heads * group, tokens, head_dim) * kind.type(spread)
    k, v = (drawn(seed + i, kind, batch, kv_heads, keys, head_dim) for i in (1, 2))
    mask = None
    if masked:
        hidden = np.random.default_rng(seed).random((batch, 1, tokens, keys)) < 0.6
        if masked == "causal":
            hidden[:] = np.arange(keys) > np.arange(tokens)[:, None]
        if masked == "all but one":
            hidden[:] = True
        hidden[..., 0 if masked == "causal" else seed % keys] = False
        mask = np.where(hidden, -np.inf if masked == "all but one" else ml_dtypes.finfo(kind).min, 0).astype(kind)
    wide_q, wide_k, wide_v, wide_mask = (None if x is None else x.astype(np.float64) for x in (q, k, v, mask))
    truth = attend(wide_q, wide_k, wide_v, wide_mask, Weights({}))
    device = [HEADS[lie](x, xp) for x in (q, k, v)] + [None if mask is None else to_device(mask, xp)]
    with fused_attention(True):
        assert takes(device[0], device[3])
        there = attend(*device, Weights({}))
    np.testing.assert_array_equal(to_host(there), to_host(attend_in_one(*device)))
    largest = np.linalg.norm(wide_q, axis=-1).max() * np.linalg.norm(wide_k, axis=-1).max() * head_dim**-0.5
    of_scores = (head_dim + 4) * eps(DTYPES["float32"]) * largest
    of_weights = 2 * of_scores + eps(kind) + (2 * largest + keys + 10) * eps(DTYPES["float32"])
    expect(there, truth, kind, 2 * of_weights * abs(wide_v).max() + eps(kind) * abs(truth))


@given(seeds, dtypes, few, few, st.integers(1, 9), st.integers(1, 40), st.booleans(), st.sampled_from(list(HEADS)))
def test_rotate(
    xp: ModuleType, seed: int, dtype: np.dtype, batch: int, heads: int, tokens: int, pairs: int, shared: bool, lie: str
) -> None:
    """(a, b) -> (a cos - b sin, b cos + a sin), each product and their sum rounded."""
    x = drawn(seed, dtype, batch, heads, tokens, 2 * pairs)
    cos, sin = (drawn(seed + i, dtype, 1 if shared else batch, tokens, pairs) for i in (1, 2))
    wide, wide_cos, wide_sin = (y.astype(np.float64) for y in (x, cos, sin))
    truth = rotate(wide, wide_cos, wide_sin)
    both_cos, both_sin = (np.tile(abs(t), 2)[:, None] for t in (wide_cos, wide_sin))
    size = abs(wide) * both_cos + abs(np.roll(wide, pairs, axis=-1)) * both_sin
    there = rotate(HEADS[lie](x, xp), to_device(cos, xp), to_device(sin, xp))
    expect(there, truth, dtype, 2 * eps(dtype) * size)


@given(seeds, dtypes, sizes, sizes, sizes, st.booleans())
def test_linear(xp: ModuleType, seed: int, dtype: np.dtype, n: int, k: int, m: int, biased: bool) -> None:
    """W x + b, rounded once."""
    x, w, b = drawn(seed, dtype, n, k), drawn(seed + 1, dtype, m, k), drawn(seed + 2, dtype, m)
    wide_x, wide_w, wide_b = (v.astype(np.float64) for v in (x, w, b * biased))
    truth, size = wide_x @ wide_w.T + wide_b, abs(wide_x) @ abs(wide_w).T + abs(wide_b)
    there = linear(to_device(x, xp), part([w, b] if biased else [w], xp))
    expect(there, truth, dtype, (k + 3) * eps(sum_dtype(dtype)) * size + eps(dtype) * abs(truth) + 1e-30)


@given(seeds, dtypes, sizes, widths, st.sampled_from([rms_norm, layer_norm, softmax]))
def test_norms_and_softmax(xp: ModuleType, seed: int, dtype: np.dtype, n: int, width: int, operation: object) -> None:
    x, weights = drawn(seed, dtype, n, width), [drawn(seed + 1, dtype, width) for _ in range(2)]
    there_options, true_options = (
        () if operation is softmax else (part(values, where), 1e-5)
        for values, where in ((weights, xp), ([v.astype(np.float64) for v in weights], np))
    )
    truth = operation(x.astype(np.float64), *true_options)
    there = operation(to_device(x, xp), *there_options)
    errors = {
        rms_norm: lambda: rms_norm_error(truth.astype(dtype), weights[0]),
        layer_norm: lambda: layer_norm_error(x, *weights),
        softmax: lambda: softmax_error(x),
    }
    expect(there, truth, dtype, allowed(dtype, errors[operation](), truth, roundings=2))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_activations(xp: ModuleType, name: str, dtype: np.dtype) -> None:
    """Over -20 .. 20, within eight roundings of the largest value involved, which is 1 + |x| or less, or |x|^2 (relu2)."""
    x = np.linspace(-20, 20, 4001).astype(dtype)
    truth = ACTIVATIONS[name](x.astype(np.float64))
    there = to_device(x, xp)
    there = gated(there, xp.ones_like(there), ACTIVATIONS[name])
    expect(there, truth, dtype, 8 * eps(dtype) * (1 + abs(x.astype(np.float64)) + abs(truth)))


def test_fused_functions_use_cupys_first_tracer(xp: ModuleType) -> None:
    """`cupy.fuse` takes its second tracer where the first raises; the second computes wrong numbers at width 1 (CuPy 14.2)."""
    if "standin" in xp.__version__:
        pytest.skip("the stand-in has no tracers")
    functions = {kernels._multiply}
    for name, dtype in product(ACTIVATIONS, DTYPES.values()):
        x = to_device(drawn(0, dtype, 3, 1), xp)
        scale(gated(x, x, ACTIVATIONS[name]), 0.5)
        functions.add(kernels._gate(ACTIVATIONS[name], False))
    for function in functions:
        assert fusion._kernel(xp, function.__wrapped__).new_fusion is None


def test_float32_products_are_not_tf32(xp: ModuleType) -> None:
    """1 + 2^-20 times 1 is a float32 number; TF32, with 10 bits, would make it 1."""
    a = np.full((64, 64), 1 + 2.0**-20, dtype=np.float32)
    b = np.eye(64, dtype=np.float32)
    for stack in (a, np.stack([a, a])):
        assert (
            to_host(matmul(to_device(stack, xp), to_device(np.broadcast_to(b, stack.shape).copy(), xp))) == stack
        ).all()


@given(seeds, st.tuples(sizes, sizes), st.tuples(sizes, sizes), st.sampled_from([*FILTERS, "nearest"]))
def test_resize(xp: ModuleType, seed: int, size: tuple[int, int], new_size: tuple[int, int], resample: str) -> None:
    """Exact integers in float64 products: the device's bytes are the CPU's, whatever the order of its sums."""
    picture = np.random.default_rng(seed).integers(0, 256, (3, *size), dtype=np.uint8)
    for resize in (pillow_resize, torch_resize) if resample in ("bilinear", "bicubic") else (pillow_resize,):
        there = resize(to_device(picture, xp), new_size, resample)
        np.testing.assert_array_equal(to_host(there), resize(picture, new_size, resample))
