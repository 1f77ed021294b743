"""The mask of a batch with padding.

Prompts of different lengths are padded on the left to share an array. The mask is added to the attention scores before the
softmax: 0 where a query sees a key, and the lowest float32 number where it doesn't, so that its weight becomes 0. A query
sees the keys up to itself that aren't padding. The queries are the last tokens: the first of them stands at position keys -
queries.

Why not -infinity? A query at padding sees nothing at all. A row of equal finite numbers gives equal weights there; a row of
-infinity gives NaN.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import masks


def causal_mask(attention_mask: Int[np.ndarray, "batch keys"], queries: int) -> Float[np.ndarray, "batch queries keys"]:
    """Return the numbers to add to the scores, as float32; `attention_mask` is 0 at padding and 1 elsewhere."""
    keys = attention_mask.shape[1]
    causal = np.arange(keys) <= np.arange(keys - queries, keys)[:, None]
    seen = causal & (attention_mask[:, None, :] != 0)
    return np.where(seen, 0, np.finfo(np.float32).min)


def one_by_one(attention_mask: np.ndarray, queries: int) -> np.ndarray:
    """Return the same number by number."""
    batch, keys = attention_mask.shape
    mask = np.full((batch, queries, keys), np.finfo(np.float32).min, np.float32)
    for b in range(batch):
        for q in range(queries):
            for k in range(keys - queries + q + 1):
                if attention_mask[b, k]:
                    mask[b, q, k] = 0
    return mask


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for rows, queries in (
        ([[1]], 1),
        ([[1, 1]], 2),
        ([[0, 1]], 2),
        ([[0, 1], [1, 1]], 2),
        ([[1, 1, 1]], 1),
        ([[0, 1, 1]], 2),
        ([[0, 0, 1], [1, 1, 1]], 3),
        ([[0, 1, 1], [1, 1, 1], [0, 0, 1]], 3),
        ([[0, 0, 1, 1], [1, 1, 1, 1]], 2),
        ([[1, 0, 1, 1, 0], [0, 1, 1, 1, 1]], 4),
    ):
        yield {"attention_mask": np.array(rows), "queries": queries}


EXERCISE = Exercise(
    answer=causal_mask,
    expected=one_by_one,
    cases=cases,
    one_file="causal",
    minutes=10,
    hints=(
        "Two conditions: the key isn't after the query, and the key isn't padding. Which shapes have they?",
        "Causal is (queries, keys), padding (batch, 1, keys): together (batch, queries, keys). Then np.where.",
        "np.where(causal & (attention_mask[:, None, :] != 0), 0, np.finfo(np.float32).min)",
    ),
    wrong=(
        wrong(
            "-infinity",
            "A query at padding sees nothing: a row of -infinity alone becomes NaN in the softmax.",
            ("np.finfo(np.float32).min", "np.float32(-np.inf)"),
        ),
        wrong(
            "-10000",
            "That isn't enough where scores are large, and it isn't what the model was compared with.",
            ("np.finfo(np.float32).min", "np.float32(-1e4)"),
        ),
        wrong(
            "padding seen",
            "Keys at padding aren't seen.",
            (
                "causal & (attention_mask[:, None, :] != 0)",
                "np.broadcast_to(causal, (len(attention_mask), queries, keys))",
            ),
        ),
        wrong(
            "the future seen",
            "A query sees keys up to itself.",
            (
                "causal & (attention_mask[:, None, :] != 0)",
                "np.broadcast_to(attention_mask[:, None, :] != 0, (len(attention_mask), queries, keys))",
            ),
        ),
        wrong(
            "padding of the queries",
            "The padding hides keys, not queries: it meets the last axis.",
            ("attention_mask[:, None, :] != 0", "attention_mask[:, keys - queries :, None] != 0"),
        ),
        wrong(
            "earlier calls forgotten",
            "The queries are the last tokens: the first stands at keys - queries.",
            ("np.arange(keys - queries, keys)", "np.arange(queries)"),
        ),
        wrong("itself not seen", "A token sees itself, too.", ("np.arange(keys) <=", "np.arange(keys) <")),
        wrong(
            "causal the wrong way", "A query sees what came before it.", ("np.arange(keys) <=", "np.arange(keys) >=")
        ),
        wrong(
            "ones and zeros",
            "The mask is added to scores: 0 where a key is seen.",
            ("0, np.finfo(np.float32).min", "np.float32(1), np.float32(0)"),
        ),
        wrong(
            "upside down",
            "0 where a key is seen, the lowest number where it isn't.",
            ("0, np.finfo(np.float32).min", "np.finfo(np.float32).min, np.float32(0)"),
        ),
        wrong("padding for attention", "attention_mask is 0 at padding.", ("!= 0", "== 0")),
        wrong("either rule", "Both conditions have to hold.", ("causal & (", "causal | (")),
        wrong(
            "float64 by accident",
            "The mask is float32.",
            ("0, np.finfo(np.float32).min", "0.0, float(np.finfo(np.float32).min)"),
        ),
        wrong(
            "-1e9",
            "The lowest float32 number is meant: np.finfo(np.float32).min.",
            ("np.where(seen, 0, np.finfo(np.float32).min)", "np.where(seen, 0, -1e9).astype(np.float32)"),
        ),
        wrong(
            "two lowest numbers added",
            "Added, two lowest numbers are -infinity. Join the conditions, then choose the number once.",
            (
                "np.where(seen, 0, np.finfo(np.float32).min)",
                "np.where(seen, np.float32(0), np.where(causal | (attention_mask[:, None, :] != 0), "
                "np.finfo(np.float32).min, -np.float32(np.inf)))",
            ),
        ),
    ),
    solution=(masks.causal_mask,),
    notice=(
        "the project's mask has one more axis, of length 1, for the heads. Where a single new token sees everything it "
        "returns None: nothing to add. The lowest number is that of the compute type."
    ),
    shown="mask",
    exact=True,
)
