"""Every backward formula against torch's autograd and against finite differences; and each is seen when it is wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from torch.nn import functional as F
from transformers.activations import ACT2FN

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.gradients import value_and_gradient
from ovis2_ref.gradients.activations import SLOPES
from ovis2_ref.language.decoder import embed_tokens
from ovis2_ref.language.loss import causal_lm_loss, cross_entropy
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import attend, gated, layer_norm, linear, rms_norm, scale, softmax
from ovis2_ref.runtime import tape
from ovis2_ref.runtime.blocks import Mask
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens, merge_patches, straight_through
from tests.oracle import TORCH_DTYPES
from tests.strategies import REFERENCE_ACTIVATIONS, seeds

FLOAT64 = 1e-10
"""Of the largest number of a gradient."""
DIFFERENCE, STEP = 1e-6, 1e-6
"""Central differences: the error of a step h is h^2 times a third derivative, and eps / h of the sum's numbers."""


class Case(NamedTuple):
    """A formula, its arguments (a dictionary is a part of the weights), the same in torch, and the numbers without a gradient."""

    formula: Callable[..., Any]
    arguments: tuple[Any, ...]
    in_torch: Callable[..., torch.Tensor]


def sizes(rng, count, largest=5):
    """Draw lengths of axes."""
    return tuple(int(n) for n in rng.integers(1, largest + 1, count))


def linear_case(rng):
    """With a bias or without; a matrix, or a kernel as of the patch embedding."""
    b, t, n, m = sizes(rng, 4)
    kernel = (m, n, 2, 3) if rng.random() < 0.3 else (m, n)
    w = {"weight": rng.standard_normal(kernel)} | ({"bias": rng.standard_normal(m)} if rng.random() < 0.5 else {})
    x = rng.standard_normal((b, t, w["weight"][0].size))
    return Case(linear, (x, w), lambda x, w: F.linear(x, w["weight"].flatten(1), w.get("bias")))


def rms_norm_case(rng):
    """Weights far from 1, and an eps that counts."""
    *shape, n = sizes(rng, 3, 7)
    eps = float(rng.choice([1e-6, 1e-2, 1.0]))
    w = {"weight": rng.standard_normal(n)}
    return Case(
        rms_norm,
        (rng.standard_normal((*shape, n)), w, eps),
        lambda x, w, eps: w["weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)),
    )


def layer_norm_case(rng):
    """Weights far from 1, and an eps that counts."""
    *shape, n = sizes(rng, 3, 7)
    n, eps = n + 1, float(rng.choice([1e-5, 1.0]))
    w = {"weight": rng.standard_normal(n), "bias": rng.standard_normal(n)}
    return Case(
        layer_norm,
        (rng.standard_normal((*shape, n)), w, eps),
        lambda x, w, eps: F.layer_norm(x, x.shape[-1:], w["weight"], w["bias"], eps),
    )


def softmax_case(rng):
    """Peaky and flat."""
    return Case(
        softmax, (rng.choice([0.1, 1, 8]) * rng.standard_normal(sizes(rng, 3, 7)),), lambda x: torch.softmax(x, -1)
    )


def gated_case(rng, name=None):
    """Every activation."""
    name = name or str(rng.choice(REFERENCE_ACTIVATIONS))
    shape = sizes(rng, 3, 9)
    gate, up = 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    return Case(gated, (gate, up, ACTIVATIONS[name]), lambda gate, up, _: ACT2FN[name](gate) * up)


def scale_case(rng):
    """Any factor."""
    return Case(scale, (rng.standard_normal(sizes(rng, 3)), float(rng.standard_normal())), lambda x, factor: factor * x)


LOWEST = -1e30
"""A mask's number that every type holds: added to any score it gives itself."""


def attend_case(rng, blind=True):
    """Groups of heads, and masks: none, of some keys, and, where `blind`, of all keys of a query."""
    b, kv, group, t, d = sizes(rng, 5, 4)
    keys = t + int(rng.integers(0, 4))
    q = rng.standard_normal((b, kv * group, t, d))
    k, v = rng.standard_normal((2, b, kv, keys, d))
    mask = None
    if rng.random() < 0.8:
        seen = rng.random((int(rng.choice([1, b])), 1, t, keys)) < 0.6
        seen[..., 0] |= not blind
        mask = np.where(seen, 0, LOWEST)

    def in_torch(q, k, v, mask, w):
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = q @ k.transpose(-1, -2) * d**-0.5
        return torch.softmax(scores if mask is None else scores + torch.from_numpy(mask).to(q.dtype), -1) @ v

    return Case(attend, (q, k, v, mask, {"unused": np.zeros(1)}), in_torch)


def rotate_case(rng):
    """Tables for each sequence, or one for all."""
    b, h, t, pairs = sizes(rng, 4)
    angles = rng.standard_normal((int(rng.choice([1, b])), t, pairs))

    def in_torch(x, cos, sin):
        cos, sin = (torch.cat([torch.from_numpy(table)] * 2, -1)[:, None].to(x.dtype) for table in (cos, sin))
        half = x.shape[-1] // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    x = rng.standard_normal((b, h, t, 2 * pairs))
    return Case(rotate, (x, Fixed(np.cos(angles)), Fixed(np.sin(angles))), in_torch)


class Fixed(NamedTuple):
    """An array that has no gradient."""

    array: np.ndarray


def merge_patches_case(rng):
    """Strides that divide the grid, and others."""
    tiles, side, stride, n = sizes(rng, 4)

    def in_torch(x, stride):
        grid = x.reshape(tiles, side, side, n)
        more = -side % stride
        grid = F.pad(grid, (0, 0, 0, more, 0, more))
        m = grid.shape[1] // stride
        return grid.reshape(tiles, m, stride, m, stride, n).permute(0, 1, 3, 2, 4, 5).reshape(tiles, m * m, -1)

    return Case(merge_patches, (rng.standard_normal((tiles, side * side, n)), stride), in_torch)


def straight_through_case(rng):
    """The hard choice in front, the soft one's gradient behind."""

    def in_torch(soft):
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1])
        return hard - soft.detach() + soft

    return Case(straight_through, (rng.standard_normal(sizes(rng, 3, 7)),), in_torch)


def embed_visual_tokens_case(rng):
    """Distributions over fewer words than the table has; or whole numbers, some twice."""
    b, t, words, n = sizes(rng, 4)
    table = rng.standard_normal((words + 2, n))
    if rng.random() < 0.4:
        tokens = Fixed(rng.integers(0, words, (b, t)))
        return Case(embed_visual_tokens, (tokens, table), lambda tokens, table: table[torch.from_numpy(tokens)])
    tokens = rng.random((b, t, words))
    return Case(embed_visual_tokens, (tokens, table), lambda tokens, table: tokens @ table[:words])


def embed_tokens_case(rng):
    """Tokens that stand twice."""
    b, t, words, n = sizes(rng, 4)
    ids, w = rng.integers(0, words, (b, t)), {"embed_tokens.weight": rng.standard_normal((words, n))}
    return Case(embed_tokens, (Fixed(ids), w), lambda ids, w: w["embed_tokens.weight"][torch.from_numpy(ids)])


def causal_lm_loss_case(rng):
    """Labels left out here and there, never all."""
    b, t, words = sizes(rng, 3)
    labels = np.where(rng.random((b, t + 1)) < 0.4, -100, rng.integers(0, words, (b, t + 1)))
    labels[-1, -1] = 0
    logits = rng.standard_normal((b, t + 1, words))

    def in_torch(logits, labels):
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), torch.from_numpy(labels)[:, 1:].flatten())

    return Case(causal_lm_loss, (logits, Fixed(labels)), in_torch)


def cross_entropy_case(rng):
    """Any weights."""
    n, words = sizes(rng, 2, 7)
    logits, targets = rng.standard_normal((n, words)), rng.integers(0, words, n)

    def in_torch(logits, targets, weights):
        losses = F.cross_entropy(logits, torch.from_numpy(targets), reduction="none")
        return (losses * torch.from_numpy(weights).to(losses.dtype)).sum()

    return Case(cross_entropy, (logits, Fixed(targets), Fixed(rng.random(n))), in_torch)


CASES = {
    case.__name__.removesuffix("_case"): case
    for case in (
        linear_case,
        rms_norm_case,
        layer_norm_case,
        softmax_case,
        gated_case,
        scale_case,
        attend_case,
        rotate_case,
        merge_patches_case,
        straight_through_case,
        embed_visual_tokens_case,
        embed_tokens_case,
        causal_lm_loss_case,
        cross_entropy_case,
    )
}


def has_gradient(argument):
    """True for an array of floats that isn't fixed."""
    return isinstance(argument, np.ndarray) and argument.dtype.kind == "f"


def named_arrays(case):
    """Return the arrays that have gradients, by a name for each; that of a mask is fixed."""
    named = {}
    for place, argument in enumerate(case.arguments):
        if isinstance(argument, dict):
            named |= {f"{place}.{word}": array for word, array in argument.items() if word != "unused"}
        elif has_gradient(argument) and not (case.formula is attend and place == 3):
            named[str(place)] = argument
    return named


def from_named(case, take, wrap, dtype):
    """Return the arguments with `take(name)` for each array of `named_arrays`."""
    arguments = []
    for place, argument in enumerate(case.arguments):
        if isinstance(argument, dict):
            arguments.append(wrap(place, argument))
        elif str(place) in named_arrays(case):
            arguments.append(take(str(place)))
        else:
            array = argument.array if isinstance(argument, Fixed) else argument
            is_float = getattr(array, "dtype", np.dtype(int)).kind == "f"
            arguments.append(array.astype(dtype) if is_float else array)
    return arguments


def our_gradients(case, dtype="float64", arrays=None, mask=lambda mask: mask):
    """Return the value of sum(c * formula), c drawn, and its gradients by name."""
    arrays = {name: a.astype(dtype) for name, a in named_arrays(case).items()} if arrays is None else arrays

    def function(w):
        arguments = from_named(case, w.__getitem__, lambda place, _: w / place, dtype)
        y = case.formula(*(mask(a) if case.formula is attend and i == 3 else a for i, a in enumerate(arguments)))
        return (y * cotangent(y.shape).astype(dtype)).sum()

    return value_and_gradient(function, arrays)


def cotangent(shape):
    """The numbers by which a result's numbers are weighted."""
    return np.random.default_rng(7).standard_normal(shape)


def torch_gradients(case, dtype="float64"):
    """Return torch's gradients by the same names."""
    tensors = {
        name: torch.from_numpy(array.astype(dtype if dtype != "bfloat16" else "float32"))
        .to(TORCH_DTYPES[dtype])
        .requires_grad_()
        for name, array in named_arrays(case).items()
    }

    def part(place, argument):
        return {word: tensors[f"{place}.{word}"] for word in argument if word != "unused"}

    arguments = from_named(case, tensors.__getitem__, part, "float64")
    y = case.in_torch(*arguments)
    (y * torch.from_numpy(cotangent(tuple(y.shape))).to(y.dtype)).sum().backward()
    return {name: tensor.grad.double().numpy() for name, tensor in tensors.items()}


def assert_close(found, expected):
    """Compare every gradient, by the largest number of all of them."""
    assert list(found) == list(expected)
    size = max(abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=FLOAT64 * size, err_msg=name)


@pytest.mark.parametrize("name", CASES)
@given(seed=seeds)
def test_a_rule_gives_torchs_gradients(name, seed):
    """In float64, for all arguments and weights."""
    case = CASES[name](np.random.default_rng(seed))
    assert_close(our_gradients(case)[1], torch_gradients(case))


@pytest.mark.parametrize("name", REFERENCE_ACTIVATIONS)
def test_the_slope_of_every_activation_is_torchs(name):
    """Over the range in which activations bend, and far outside."""
    case = gated_case(np.random.default_rng(0), name)
    gate = np.concatenate([np.linspace(-9.987, 9.987, 3001), [-300.0, 300.0]])
    case = case._replace(arguments=(gate[None], np.ones_like(gate)[None], case.arguments[2]))
    assert_close(our_gradients(case)[1], torch_gradients(case))


def test_every_activation_has_a_slope():
    """Also selu, which transformers only documents."""
    assert set(SLOPES) == set(ACTIVATIONS.values())
    x = np.linspace(-3.01, 3, 50)
    selu = torch.from_numpy(x).requires_grad_()
    F.selu(selu).sum().backward()
    np.testing.assert_allclose(SLOPES[ACTIVATIONS["selu"]](x), selu.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if name != "straight_through"])
@given(seed=seeds)
def test_a_rule_gives_finite_differences(name, seed):
    """Along a drawn direction, the value changes as the gradients say. (A hard choice doesn't change: its rule is another's.)"""
    rng = np.random.default_rng(seed)
    # Other activations have corners, and what a blind query sees changes by less than rounding.
    others = {"gated": lambda rng: gated_case(rng, "silu"), "attend": lambda rng: attend_case(rng, blind=False)}
    case = others.get(name, CASES[name])(rng)
    arrays = named_arrays(case)
    value, gradients = our_gradients(case)
    way = {key: rng.standard_normal(array.shape) for key, array in arrays.items()}
    ahead, back = (
        our_gradients(case, arrays={key: a + sign * STEP * way[key] for key, a in arrays.items()})[0]
        for sign in (1, -1)
    )
    slope = sum((gradients[key] * way[key]).sum() for key in arrays)
    size = sum(abs(gradients[key] * way[key]).sum() for key in arrays) + abs(value)
    assert abs((ahead - back) / (2 * STEP) - slope) <= DIFFERENCE * max(size, 1)


MISTAKES = [
    (name, place, kind)
    for name in CASES
    for place in {"attend": (0, 1, 2), "gated": (0, 1), "embed_visual_tokens": (0, 1), "embed_tokens": (1,)}.get(
        name, (0, 1) if name in ("linear", "rms_norm", "layer_norm") else (0,)
    )
    for kind in ("a millionth more", "one number lost")
]


@pytest.mark.parametrize(("name", "place", "kind"), MISTAKES)
def test_a_wrong_rule_is_seen(name, place, kind, monkeypatch):
    """Each gradient that each rule returns, a millionth too large or with a number missing, fails the comparison."""
    case = next(
        case
        for case in (CASES[name](np.random.default_rng(seed)) for seed in range(50))
        if not isinstance(case.arguments[0], Fixed) or name == "embed_tokens"
    )
    right = tape.rule_of(case.formula)

    def spoilt(gradient):
        gradient = gradient * (1 + 1e-6) if kind == "a millionth more" else gradient.copy()
        if kind != "a millionth more":
            gradient.flat[abs(gradient).argmax()] = 0
        return gradient

    def wrong(dy, *arguments):
        returned = right(dy, *arguments)
        gradients = list(returned) if isinstance(returned, tuple) else [returned]
        of = gradients[place]
        gradients[place] = {word: spoilt(g) for word, g in of.items()} if isinstance(of, dict) else spoilt(of)
        return tuple(gradients)

    assert_close(our_gradients(case)[1], torch_gradients(case))
    monkeypatch.setitem(tape._rules, case.formula, wrong)
    with pytest.raises(AssertionError):
        assert_close(our_gradients(case)[1], torch_gradients(case))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
@given(seed=seeds)
def test_a_rule_is_as_exact_as_torchs(name, dtype, seed):
    """The error against float64 is at most a factor of torch's on the same draw; of the rounding of one number at least.

    float32 sums in another order: a factor of 8. In 16 bits both round the same values: a factor of 3, and two roundings.
    """
    case = CASES[name](np.random.default_rng(seed))
    case = case._replace(arguments=tuple(as_stored(argument, dtype) for argument in case.arguments))
    exact, theirs = torch_gradients(case), torch_gradients(case, dtype)
    ours = our_gradients(case, dtype)[1]
    factor, eps = (8, 2**-23) if dtype == "float32" else (3, 2**-8)
    size = max(abs(gradient).max() for gradient in exact.values())
    error = max(abs(gradient - exact[key]).max() for key, gradient in theirs.items())
    for key, gradient in ours.items():
        assert gradient.dtype == dtype
        assert abs(gradient.astype(np.float64) - exact[key]).max() <= factor * error + 2 * eps * size, key


def as_stored(argument, dtype):
    """Return floats rounded to `dtype`, so that both programs begin with the same numbers."""
    if isinstance(argument, dict):
        return {word: as_stored(array, dtype) for word, array in argument.items()}
    return argument.astype(dtype).astype(np.float64) if has_gradient(argument) else argument


@given(seed=seeds)
def test_a_pass_mask_and_an_array_are_alike(seed):
    """Attention's rule takes both."""
    case = attend_case(np.random.default_rng(seed))
    as_mask = our_gradients(case, mask=lambda mask: None if mask is None else Mask(mask))[1]
    for name, gradient in our_gradients(case)[1].items():
        np.testing.assert_array_equal(as_mask[name], gradient)
