"""Split into heads.

Attention works in several heads at once: each looks at its own part of the features. The features of a token are the heads'
side by side, so head h has the numbers h d to (h + 1) d - 1, with d = hidden / heads.

    (batch, tokens, hidden)  ->  (batch, heads, tokens, d)

With heads before tokens, one matrix product over the last two axes serves all of them.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong


def split_heads(
    x: Float[np.ndarray, "batch tokens hidden"], heads: int
) -> Float[np.ndarray, "batch heads tokens head_dim"]:
    """Return the features of every head: x[b, t, h d + i] comes to [b, h, t, i]."""
    batch, tokens, hidden = x.shape
    return x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)


def head_by_head(x: np.ndarray, heads: int) -> np.ndarray:
    return np.stack(np.split(x, heads, axis=2), axis=1)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape, heads in (
        ((1, 1, 2), 2),
        ((1, 2, 2), 2),
        ((1, 2, 4), 2),
        ((1, 3, 4), 2),
        ((2, 3, 6), 3),
        ((2, 2, 4), 2),
        ((3, 3, 9), 3),
        ((2, 2, 3), 1),
        ((2, 4, 6), 2),
    ):
        yield {"x": np.arange(float(np.prod(shape))).reshape(shape), "heads": heads}
    yield {"x": rng.normal(size=(2, 3, 8)).astype(np.float32), "heads": 4}


EXERCISE = Exercise(
    answer=split_heads,
    expected=head_by_head,
    cases=cases,
    one_file="attention",
    minutes=8,
    hints=(
        "Two steps: the last axis becomes two, then two axes change places.",
        "Reshape to (batch, tokens, heads, head_dim): that moves no number. Then heads and tokens are exchanged.",
        "x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)",
    ),
    wrong=(
        wrong(
            "a reshape alone",
            "Reshaping straight to the final shape mixes tokens and heads. Split first, then exchange.",
            (
                "x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)",
                "x.reshape(batch, heads, tokens, hidden // heads)",
            ),
        ),
        wrong("not exchanged", "Heads come before tokens.", (".swapaxes(1, 2)", "")),
        wrong(
            "interleaved heads",
            "A head's numbers lie side by side: heads is the slower of the two new axes.",
            ("tokens, heads, hidden // heads).swapaxes(1, 2)", "tokens, hidden // heads, heads).transpose(0, 3, 1, 2)"),
        ),
        wrong("heads first of all", "The batch stays the first axis.", (".swapaxes(1, 2)", ".transpose(2, 0, 1, 3)")),
        wrong("tokens first of all", "The batch stays the first axis.", (".swapaxes(1, 2)", ".transpose(1, 2, 0, 3)")),
        wrong(
            "keys transposed already",
            "The last two axes are (tokens, head_dim); the product transposes later.",
            (".swapaxes(1, 2)", ".transpose(0, 2, 3, 1)"),
        ),
        wrong(
            "heads and their width exchanged",
            "There are `heads` heads, of hidden / heads numbers each.",
            ("tokens, heads, hidden // heads)", "tokens, hidden // heads, heads)"),
        ),
        wrong(
            "the last axes exchanged",
            "Exchange axes 1 and 2, tokens and heads.",
            (".swapaxes(1, 2)", ".swapaxes(2, 3)"),
        ),
        wrong(
            "one head",
            "The features are divided among the heads.",
            ("x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)", "x[:, None]"),
        ),
        wrong(
            "everything to every head",
            "A head sees its own part only.",
            ("x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)", "np.repeat(x[:, None], heads, axis=1)"),
        ),
        wrong(
            "tokens shared out",
            "The features are divided among the heads, not the tokens.",
            (
                "x.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)",
                "np.stack([x[:, :, h::heads] for h in range(heads)], axis=1)[:, :, ::-1]",
            ),
        ),
    ),
    solution=(ops.split_heads, ops.merge_heads),
    notice=(
        "splitting moves no number: the result is a view with other strides. The way back is swapaxes(1, 2) and a "
        "reshape, and that one copies."
    ),
)
