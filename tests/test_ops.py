"""The operations of `ops.py` against torch: products, norms, softmax and every activation, in all four types.

16-bit results have to be torch's bit for bit, but where a sum is made in another order or an elementary function of float32 is
another library's: then a value at the edge between two may fall to the other side, one unit in the last place away.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP, Qwen2RMSNorm

from ovis2_ref import activations, ops
from ovis2_ref.runtime import blocks
from ovis2_ref.runtime.weights import Weights
from tests.bounds import computing_eps, eps, expect_within, layer_norm_error, rms_norm_error, softmax_error
from tests.oracle import TORCH_DTYPES, reference_language_model, to_numpy, weights_of
from tests.strategies import REFERENCE_ACTIVATIONS, normal, seeds, text_configs

dtypes = st.sampled_from(sorted(TORCH_DTYPES))
sizes = st.integers(1, 40)


def both(seed: int, *shape: int, dtype: str, scale: float = 1.0) -> tuple[np.ndarray, torch.Tensor]:
    """Return the same normal numbers as our array and as torch's."""
    tensor = torch.tensor(normal(seed, *shape, dtype="float64") * scale).to(TORCH_DTYPES[dtype])
    return to_numpy(tensor), tensor


def wide(x: np.ndarray) -> np.ndarray:
    """Return the sizes of the numbers, in float64."""
    return np.abs(x.astype(np.float64))


@given(seeds, sizes, sizes, sizes, st.booleans(), dtypes)
def test_linear(seed: int, rows: int, inputs: int, outputs: int, has_bias: bool, dtype: str) -> None:
    """x W^T + b: n products and a sum are off by (n + 1) u of the sum of their sizes."""
    (x, tx), (w, tw), (b, tb) = (
        both(seed + i, *s, dtype=dtype) for i, s in enumerate([(1, rows, inputs), (outputs, inputs), (outputs,)])
    )
    size = wide(x) @ wide(w.T) + wide(b)
    ours = ops.linear(x, Weights({"weight": w, "bias": b} if has_bias else {"weight": w}))
    theirs = F.linear(tx, tw, tb if has_bias else None)
    expect_within(ours, to_numpy(theirs), (inputs + 1) * size)


@given(seeds, st.lists(st.integers(1, 3), max_size=2), sizes, sizes, sizes, dtypes)
def test_matmul(seed: int, batch: list[int], n: int, k: int, m: int, dtype: str) -> None:
    """Stacks of products, the second one turned as keys are: off by k u of the sum of the products' sizes."""
    (a, ta), (b, tb) = both(seed, *batch, n, k, dtype=dtype), both(seed + 1, *batch, m, k, dtype=dtype)
    ours, theirs = ops.matmul(a, b.swapaxes(-1, -2)), ta @ tb.transpose(-1, -2)
    expect_within(ours, to_numpy(theirs), k * wide(a) @ wide(b.swapaxes(-1, -2)))


@given(seeds, sizes, sizes, st.sampled_from([1e-6, 1e-2]), st.sampled_from([1e-3, 1.0, 100.0]), dtypes)
def test_rms_norm(seed: int, rows: int, hidden: int, eps: float, scale: float, dtype: str) -> None:
    (x, tx), (w, tw) = both(seed, rows, hidden, dtype=dtype, scale=scale), both(seed + 1, hidden, dtype=dtype)
    norm = Qwen2RMSNorm(hidden, eps)
    norm.weight.data = tw
    expected = norm(tx).detach()
    if dtype == "float64":  # transformers computes it in float32
        expected = F.rms_norm(tx, (hidden,), tw, eps)
    expected = to_numpy(expected)
    expect_within(ops.rms_norm(x, Weights({"weight": w}), eps), expected, rms_norm_error(expected, w), roundings=2)


@given(seeds, sizes, st.integers(2, 40), st.sampled_from([1e-2, 1.0, 100.0]), dtypes)
def test_layer_norm(seed: int, rows: int, hidden: int, scale: float, dtype: str) -> None:
    (x, tx), (w, tw), (b, tb) = (
        both(seed, rows, hidden, dtype=dtype, scale=scale),
        both(seed + 1, hidden, dtype=dtype),
        both(seed + 2, hidden, dtype=dtype),
    )
    expected = to_numpy(F.layer_norm(tx, (hidden,), tw, tb))
    expect_within(ops.layer_norm(x, Weights({"weight": w, "bias": b})), expected, layer_norm_error(x, w, b))


@given(seeds, sizes, sizes, st.sampled_from([0.1, 5.0, 80.0]), dtypes)
def test_softmax(seed: int, rows: int, n: int, scale: float, dtype: str) -> None:
    """Sharp and flat."""
    x, tx = both(seed, rows, n, dtype=dtype, scale=scale)
    half = TORCH_DTYPES[dtype].itemsize == 2
    expected = torch.softmax(tx, dim=-1, dtype=torch.float32 if half else None).to(tx.dtype)
    expect_within(ops.softmax(x), to_numpy(expected), softmax_error(x))


@given(text_configs(), seeds, sizes, st.sampled_from([1, 30, 2**18]))
def test_feed_forward(config, seed: int, rows: int, at_once: int) -> None:
    """Qwen2's MLP in float64, whatever block of rows is activated at a time.

    Gate and up are off by h u |W| |x|; an activation's slope is at most 1.2, or 2 |g| (relu2), its own error 8 u (see below).
    """
    model = reference_language_model(config, seed, "float64")
    mlp: Qwen2MLP = model.layers[0].mlp
    x, tx = both(seed, rows, config.hidden_size, dtype="float64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "IN_CACHE", at_once)
        patch.setattr(blocks, "IN_MEMORY", 2 * at_once)
        ours = ops.feed_forward(x, Weights(weights_of(model), "layers.0.mlp"), config.hidden_act)
    gate, up = (to_numpy(part(tx)) for part in (mlp.gate_proj, mlp.up_proj))
    gate_w, up_w, down_w = (wide(to_numpy(part.weight)) for part in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    activated = wide(to_numpy(mlp.act_fn(mlp.gate_proj(tx))))
    slope = 1.2 + 2 * wide(gate)
    off = config.hidden_size * (slope * (wide(x) @ gate_w.T) * wide(up) + activated * (wide(x) @ up_w.T))
    off += 9 * np.maximum(wide(gate), activated) * wide(up)
    error = off @ down_w.T + config.intermediate_size * (activated * wide(up)) @ down_w.T
    expect_within(ours, to_numpy(mlp(tx)), error)


@given(seeds, st.sampled_from(["float16", "bfloat16"]))
def test_gating_is_rounded_twice(seed: int, dtype: str) -> None:
    """act(gate), then the product with up: torch's bits, but where a float32 sigmoid's last place turns a rounding."""
    (gate, tensor), (up, factor) = both(seed, 1000, dtype=dtype), both(seed + 1, 1000, dtype=dtype)
    ours = ops.gated(gate, up, activations.silu)
    equal = ours.view(np.int16) == to_numpy(F.silu(tensor) * factor).view(np.int16)
    assert equal.mean() >= 0.99  # measured 0.998 and more; without the rounding in between 0.77 and less


def reference_activation(name: str):
    return F.selu if name == "selu" else ACT2FN[name]


@pytest.mark.parametrize("name", ["selu", *REFERENCE_ACTIVATIONS])
@given(st.data())
def test_activation(name: str, data: st.DataObject) -> None:
    """Over numbers of every size, with both ends and zero.

    An activation is x, or 1 (laplace), times a factor of at most 1 that is off by 8 roundings of 1 at most; or it is exact to 8
    roundings of its own. Where |x| is above 8, the factor is 0 or 1. In 16 bits, two elementary functions of an
    activation that is written out can each fall to the neighbour.
    """
    dtype = data.draw(dtypes)
    seed, scale = data.draw(seeds), data.draw(st.sampled_from([1e-3, 0.3, 1.0, 4.0, 30.0]))
    x = normal(seed, 200, dtype="float64") * scale
    x[:6] = [0.0, -0.0, 100.0, -100.0, 0.46875 * math.sqrt(2), 20.0]
    tensor = torch.tensor(x).to(TORCH_DTYPES[dtype])
    ours = to_numpy(tensor)
    ours = ops.gated(ours, np.ones_like(ours), activations.ACTIVATIONS[name])
    theirs = to_numpy(reference_activation(name)(tensor))
    size = np.maximum(1 if name == "laplace" else np.minimum(wide(to_numpy(tensor)), 8), wide(theirs))
    error = 8 * size
    if tensor.dtype.itemsize == 2:
        error = error + 2 * eps(theirs.dtype) / computing_eps(theirs.dtype) * size
    expect_within(ours, theirs, error)


def test_every_activation_of_transformers_is_there() -> None:
    """All but those with parameters of their own, which no checkpoint of an Ovis2 has; and selu, which is documented."""
    assert set(activations.ACTIVATIONS) >= set(ACT2FN) - {"prelu", "xielu"} | {"selu"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_erf(dtype: type) -> None:
    """Over every size of number, our largest relative error is at most 4 times that of torch's erf; the truth is math.erf."""
    x = np.concatenate([np.linspace(-7, 7, 4000), np.geomspace(1e-30, 30, 1000), [0.46875, 4.0]]).astype(dtype)
    true = np.array([math.erf(float(v)) for v in x])
    ours, theirs = (
        np.abs(y / true - 1).max()
        for y in (activations.erf(x).astype(np.float64), torch.erf(torch.tensor(x)).double().numpy())
    )
    assert ours <= 4 * theirs
