"""Scaled dot-product attention.

A query is compared with every key; the scores become weights by a softmax over the keys, and the result is the mean of the
values with these weights (Vaswani et al., 2017, eq. 1).

    softmax(q k^T / sqrt(head_dim)) v

Products of longer vectors spread more; the division by sqrt(head_dim) keeps the softmax from saturating.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.vision import encoder


def scaled_attention(
    q: Float[np.ndarray, "*heads queries head_dim"],
    k: Float[np.ndarray, "*heads keys head_dim"],
    v: Float[np.ndarray, "*heads keys value_dim"],
) -> Float[np.ndarray, "*heads queries value_dim"]:
    """Return softmax(q k^T / sqrt(head_dim)) v over the last two axes, for all axes before them; nothing may overflow."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return weights @ v


def summed(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the same with its sums written out."""
    weights = ops.softmax(np.einsum("...qd,...kd->...qk", q, k) * q.shape[-1] ** -0.5)
    return np.einsum("...qk,...kd->...qd", weights, v)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for lead, queries, keys, width, value_width in (
        ((), 1, 2, 2, 1),
        ((), 2, 2, 2, 2),
        ((), 2, 3, 4, 2),
        ((2,), 2, 3, 3, 3),
        ((2,), 3, 3, 3, 3),
        ((2, 2), 3, 4, 2, 2),
        ((1, 2), 1, 3, 9, 2),
    ):
        shapes = ((queries, width), (keys, width), (keys, value_width))
        yield dict(zip("qkv", (rng.normal(size=(*lead, *shape)) for shape in shapes), strict=True))
    q = np.array([[3000.0, 0.0], [0.0, 1.0]])
    yield {"q": q, "k": np.eye(2), "v": np.array([[1.0], [2.0]])}
    yield {"q": np.array([[2000.0, 0.0]]), "k": np.array([[2.0, 0.0], [1.0, 1.0]]), "v": np.array([[1.0], [2.0]])}


EXERCISE = Exercise(
    answer=scaled_attention,
    expected=summed,
    cases=cases,
    one_file="attend",
    minutes=10,
    hints=(
        "Three steps: scores (queries, keys), weights by a softmax over the keys, and their product with the values.",
        "k.swapaxes(-1, -2) transposes the last two axes only. The softmax is the one that you have written.",
        "scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])",
    ),
    wrong=(
        wrong("no scaling", "Divide the scores by sqrt(head_dim).", (" / np.sqrt(q.shape[-1])", "")),
        wrong("scaled without the root", "Divide by the root of head_dim.", ("np.sqrt(q.shape[-1])", "q.shape[-1]")),
        wrong(
            "scaled by the number of keys",
            "The scale comes from the width of a head, q.shape[-1].",
            ("q.shape[-1]", "k.shape[-2]"),
        ),
        wrong("multiplied by the root", "Divide: the scores shall become smaller.", ("/ np.sqrt", "* np.sqrt")),
        wrong(
            "softmax over the queries",
            "The weights of a query have a sum of 1: the softmax is over the keys.",
            ("powers.sum(axis=-1", "powers.sum(axis=-2"),
        ),
        wrong("no softmax", "The scores become weights by a softmax.", ("weights @ v", "scores @ v")),
        wrong("not normalised", "Divide the powers by their sum.", (" / powers.sum(axis=-1, keepdims=True)", "")),
        wrong(
            "scaled after the softmax",
            "The division comes before the softmax, or the weights lose their sum of 1.",
            ("k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])", "k.swapaxes(-1, -2)"),
            ("return weights @ v", "return weights / np.sqrt(q.shape[-1]) @ v"),
        ),
        wrong(
            "keys not transposed",
            "q k^T: transpose the last two axes of k. Without it the shapes fit by chance.",
            ("k.swapaxes(-1, -2)", "k"),
        ),
        wrong(
            "all axes of the keys transposed", ".T turns all axes around; exchange two.", ("k.swapaxes(-1, -2)", "k.T")
        ),
        wrong(
            "queries and keys exchanged",
            "A row of scores belongs to a query: q k^T, not k q^T.",
            ("q @ k.swapaxes(-1, -2)", "k @ q.swapaxes(-1, -2)"),
        ),
        wrong(
            "overflow",
            "exp of a large score is infinity. Subtract each row's maximum first.",
            ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)"),
        ),
        wrong(
            "all keys alike",
            "The weights come from the scores.",
            ("weights @ v", "np.full_like(weights, 1 / weights.shape[-1]) @ v"),
        ),
        wrong(
            "the best key alone",
            "Every key takes part, by its weight.",
            ("weights @ v", "(scores == scores.max(axis=-1, keepdims=True)) @ v"),
        ),
        wrong(
            "over the queries",
            "The weights of a query add up to 1 over the keys: maximum and sum over the last axis.",
            ("scores.max(axis=-1", "scores.max(axis=-2"),
            ("powers.sum(axis=-1", "powers.sum(axis=-2"),
        ),
        wrong(
            "no keepdims",
            "Without keepdims=True maxima and sums line up with the keys.",
            ("scores.max(axis=-1, keepdims=True)", "scores.max(axis=-1)"),
            ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
        ),
        wrong(
            "the width of the values",
            "The scale is that of the products of q and k: their width.",
            ("np.sqrt(q.shape[-1])", "np.sqrt(v.shape[-1])"),
        ),
    ),
    solution=(ops.attend, encoder.attention),
    notice=(
        "the ViT's attention has no mask: every patch sees every patch of its tile. transformers multiplies by "
        "head_dim**-0.5, and in 16 bits rounds after the product, after the scaling and after the softmax."
    ),
)
