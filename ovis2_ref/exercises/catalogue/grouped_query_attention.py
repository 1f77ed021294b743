"""Grouped-query attention.

While a model writes, the keys and values of all earlier tokens are kept, so that none is computed twice (the KV cache). To
keep less, several query heads share the keys and values of one head: with 4 query heads and 2 key heads, queries 0 and 1
use key head 0, queries 2 and 3 key head 1 (Ainslie et al., 2023).

    softmax(q k^T / sqrt(head_dim) + mask) v,    then the heads side by side
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import attention


def grouped_query_attention(
    q: Float[np.ndarray, "batch heads tokens head_dim"],
    k: Float[np.ndarray, "batch kv_heads keys head_dim"],
    v: Float[np.ndarray, "batch kv_heads keys head_dim"],
    mask: Float[np.ndarray, "tokens keys"],
) -> Float[np.ndarray, "batch tokens heads*head_dim"]:
    """Return the result of all heads, side by side for every token; `mask` is 0 where a key is seen, very low elsewhere."""
    batch, heads, tokens, head_dim = q.shape
    group = heads // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(head_dim) + mask
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return (weights @ v).swapaxes(1, 2).reshape(batch, tokens, heads * head_dim)


def head_by_head(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the same, one head of one sequence at a time."""
    group = q.shape[1] // k.shape[1]
    return np.stack(
        [
            np.concatenate(
                [
                    ops.softmax(q[b, h] @ k[b, h // group].T * q.shape[-1] ** -0.5 + mask) @ v[b, h // group]
                    for h in range(q.shape[1])
                ],
                axis=-1,
            )
            for b in range(len(q))
        ]
    )


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for batch, kv_heads, group, tokens, keys, width in (
        (1, 1, 1, 1, 2, 2),
        (1, 1, 2, 1, 2, 2),
        (1, 2, 2, 1, 2, 2),
        (1, 2, 2, 2, 2, 2),
        (2, 2, 2, 2, 3, 2),
        (1, 2, 3, 3, 3, 3),
        (2, 3, 2, 3, 4, 2),
    ):
        position = np.arange(keys - tokens, keys)[:, None]
        q = rng.normal(size=(batch, kv_heads * group, tokens, width))
        k, v = rng.normal(size=(2, batch, kv_heads, keys, width))
        yield {"q": q, "k": k, "v": v, "mask": np.where(np.arange(keys) <= position, 0.0, -1e30)}
    padded = np.array([[0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]])  # another mask than a causal one
    yield {"q": q, "k": k, "v": v, "mask": np.where(padded, -1e30, 0.0)}
    yield {"q": 1e4 * q, "k": k, "v": v, "mask": np.zeros((tokens, keys))}


EXERCISE = Exercise(
    answer=grouped_query_attention,
    expected=head_by_head,
    cases=cases,
    one_file="attend",
    minutes=12,
    hints=(
        (
            "It is the attention that you have written, with keys and values repeated for each query head of a group, and a"
            " mask."
        ),
        "np.repeat(k, group, axis=1) puts the copies of a head next to each other. The mask is added before the softmax.",
        "(weights @ v).swapaxes(1, 2).reshape(batch, tokens, heads * head_dim)",
    ),
    wrong=(
        wrong(
            "tiled for repeated",
            "The copies of a key head stand next to each other: heads 0, 0, 1, 1, not 0, 1, 0, 1.",
            (
                "np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)",
                "np.tile(k, (1, group, 1, 1)), np.tile(v, (1, group, 1, 1))",
            ),
        ),
        wrong(
            "values tiled",
            "Values are repeated as keys are.",
            ("np.repeat(v, group, axis=1)", "np.tile(v, (1, group, 1, 1))"),
        ),
        wrong(
            "the first key head for all",
            "Each group has its own key head.",
            ("np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)", "k[:, :1], v[:, :1]"),
        ),
        wrong(
            "the mean of the key heads",
            "Each group uses its own key head as it is.",
            (
                "np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)",
                "k.mean(axis=1, keepdims=True), v.mean(axis=1, keepdims=True)",
            ),
        ),
        wrong("no scaling", "Divide the scores by sqrt(head_dim).", (" / np.sqrt(head_dim)", "")),
        wrong("scaled without the root", "Divide by the root of head_dim.", ("np.sqrt(head_dim)", "head_dim")),
        wrong(
            "scaled by the hidden size",
            "The width of one head, not of all together.",
            ("np.sqrt(head_dim)", "np.sqrt(heads * head_dim)"),
        ),
        wrong("no mask", "The mask is added to the scores.", (" + mask", "")),
        wrong("mask subtracted", "The mask is very low where a key isn't seen: add it.", ("+ mask", "- mask")),
        wrong("mask multiplied", "The mask is added.", (" + mask", " * mask")),
        wrong(
            "mask after the softmax",
            "Added after the softmax, the mask makes huge weights.",
            (" + mask", ""),
            ("powers / powers.sum(axis=-1, keepdims=True)", "powers / powers.sum(axis=-1, keepdims=True) + mask"),
        ),
        wrong(
            "softmax over the queries",
            "The weights of a query over its keys have a sum of 1.",
            ("powers.sum(axis=-1", "powers.sum(axis=-2"),
        ),
        wrong(
            "heads not brought together",
            "Exchange heads and tokens before the reshape: a token's heads lie side by side.",
            (".swapaxes(1, 2).reshape", ".reshape"),
        ),
        wrong(
            "heads interleaved",
            "A head's numbers lie side by side in the result.",
            (".swapaxes(1, 2).reshape", ".transpose(0, 2, 3, 1).reshape"),
        ),
        wrong(
            "overflow",
            "Subtract each row's maximum before exp.",
            ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)"),
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
    ),
    solution=(ops.attend, ops.merge_heads, attention.attention),
    notice=(
        "the project repeats no keys: its product lets all queries of a group meet the one copy of the keys they share. "
        "Ovis2-1B has 14 query heads and 2 key heads, so its cache is a seventh of what it would be."
    ),
)
