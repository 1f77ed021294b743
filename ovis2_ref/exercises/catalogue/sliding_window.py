"""Causal attention, and a sliding window.

When a model writes, a token sees itself and what came before, never what comes after. With a sliding window it sees only
the last `window` tokens of these, itself among them. Some of the keys may have been seen in earlier calls: the queries are
then the last tokens, and the first of them stands at position keys - queries.

    3 queries, 5 keys    without a window    a window of 2
    (■ is seen)          ■ ■ ■ · ·           · ■ ■ · ·
                         ■ ■ ■ ■ ·           · · ■ ■ ·
                         ■ ■ ■ ■ ■           · · · ■ ■
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import masks


def sliding_window(queries: int, keys: int, window: int | None) -> Bool[np.ndarray, "queries keys"]:
    """Return True where a query sees a key; a `window` of None sees everything before."""
    i = np.arange(keys - queries, keys)[:, None]
    j = np.arange(keys)
    seen = j <= i
    if window is not None:
        seen = seen & (j > i - window)
    return seen


def one_by_one(queries: int, keys: int, window: int | None) -> np.ndarray:
    """Return the same pair by pair."""
    seen = np.zeros((queries, keys), bool)
    for q in range(queries):
        position = keys - queries + q
        for k in range(keys):
            seen[q, k] = 0 <= position - k < (keys if window is None else window)
    return seen


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for queries, keys, window in (
        (1, 1, None),
        (2, 2, None),
        (1, 3, None),
        (2, 4, None),
        (4, 4, None),
        (2, 2, 1),
        (3, 3, 2),
        (3, 5, 2),
        (5, 5, 3),
        (1, 6, 4),
        (4, 7, 9),
        (6, 6, 1),
        (3, 8, 4),
    ):
        yield {"queries": queries, "keys": keys, "window": window}


EXERCISE = Exercise(
    answer=sliding_window,
    expected=one_by_one,
    cases=cases,
    one_file="causal",
    minutes=10,
    hints=(
        "Compare two positions: a column of those of the queries, a row of those of the keys.",
        "Query i stands at keys - queries + i. It sees j <= i, and with a window j > i - window.",
        "np.arange(keys) <= np.arange(keys - queries, keys)[:, None]",
    ),
    wrong=(
        wrong("the future seen", "A token sees itself and what came before.", ("j <= i", "j >= i")),
        wrong("itself not seen", "A token sees itself, too.", ("j <= i", "j < i")),
        wrong("one token ahead", "The next token isn't seen: it is what is to be told.", ("j <= i", "j <= i + 1")),
        wrong("everything seen", "A token doesn't see what comes after.", ("j <= i", "j <= i + keys")),
        wrong(
            "earlier calls forgotten",
            "The queries are the last tokens: the first stands at keys - queries.",
            ("np.arange(keys - queries, keys)", "np.arange(queries)"),
        ),
        wrong(
            "a window of one more",
            "The token itself is one of the window's tokens: j > i - window.",
            ("j > i - window", "j >= i - window"),
        ),
        wrong(
            "a window of one less",
            "The window holds `window` tokens, the token itself among them.",
            ("j > i - window", "j > i - window + 1"),
        ),
        wrong("no window", "With a window, keys too far back aren't seen.", ("seen & (j > i - window)", "seen")),
        wrong(
            "the window alone",
            "The window doesn't replace the causal rule: both hold.",
            ("seen & (j > i - window)", "np.abs(j - i) < window"),
        ),
        wrong(
            "windows side by side",
            "The window slides: each token has its own.",
            ("(j > i - window)", "(j // window == i // window)"),
        ),
        wrong(
            "the first tokens", "The window holds the last tokens, not the first.", ("(j > i - window)", "(j < window)")
        ),
        wrong("either rule", "Both have to hold: and, not or.", ("seen & (", "seen | (")),
        wrong("masked for seen", "True where a query sees a key.", ("return seen", "return ~seen")),
        wrong("transposed", "A row for each query.", ("return seen", "return seen.T")),
    ),
    solution=(masks.causal_mask, masks.first_key),
    notice=(
        "the decoder doesn't look at keys that no query of this call can see: `first_key` cuts them off before the "
        "product. Ovis2's language models have no sliding window, Qwen2's configuration has it."
    ),
    shown="mask",
)
