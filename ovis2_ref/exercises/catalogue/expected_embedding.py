"""The expected embedding.

A word of text is one row of an embedding table. A visual token is a distribution over visual words, so its embedding is the
row that is expected under it: the mean of the table's rows, weighted by their probabilities (Lu et al., 2024, section 3).

    e = sum_w p_w table_w

The table has more rows than there are words: the last rows belong to the indicators, tokens that mark a picture's
beginning, its rows and so on in the prompt. Their probability is always 0.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.vision import visual_tokenizer


def expected_embedding(
    tokens: Float[np.ndarray, "tiles tokens words"], table: Float[np.ndarray, "vocabulary hidden"]
) -> Float[np.ndarray, "tiles tokens hidden"]:
    """Return the expected row of `table` for every token; its first rows are those of the words."""
    words = tokens.shape[-1]
    return tokens @ table[:words]


def project(tokens: np.ndarray, table: np.ndarray) -> np.ndarray:
    return visual_tokenizer.embed_visual_tokens(tokens, table)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for tiles, tokens, words, indicators, hidden in (
        (1, 1, 2, 1, 1),
        (1, 1, 2, 0, 2),
        (1, 2, 3, 1, 2),
        (2, 3, 3, 2, 3),
        (2, 2, 4, 5, 3),
        (1, 3, 5, 5, 2),
        (3, 3, 3, 5, 3),
    ):
        tokens_ = rng.dirichlet(np.ones(words), (tiles, tokens))
        yield {"tokens": tokens_, "table": rng.normal(size=(words + indicators, hidden))}
    yield {"tokens": tokens_.astype(np.float32), "table": rng.normal(size=(8, 3)).astype(np.float32)}


EXERCISE = Exercise(
    answer=expected_embedding,
    expected=project,
    cases=cases,
    one_file="merge_embeddings",
    minutes=6,
    hints=(
        "A sum over words of probability times row: which product of matrices is that?",
        "tokens @ rows, with as many rows as there are words; the table has some more.",
        "tokens @ table[: tokens.shape[-1]]",
    ),
    wrong=(
        wrong(
            "the last rows",
            "The words have the first rows; the last belong to the indicators.",
            ("table[:words]", "table[-words:]"),
        ),
        wrong("one row off", "Word 0 has row 0.", ("table[:words]", "np.roll(table, -1, axis=0)[:words]")),
        wrong(
            "the likeliest word's row",
            "All rows take part, by their probabilities; that is the point of Ovis' visual tokens.",
            ("tokens @ table[:words]", "table[tokens.argmax(axis=-1)]"),
        ),
        wrong(
            "the likeliest word's row, weighted",
            "All rows take part, by their probabilities.",
            ("tokens @ table[:words]", "tokens.max(axis=-1, keepdims=True) * table[tokens.argmax(axis=-1)]"),
        ),
        wrong(
            "all rows alike",
            "Weight the rows by their probabilities.",
            ("tokens @ table[:words]", "np.full_like(tokens, 1 / words) @ table[:words]"),
        ),
        wrong(
            "divided by the number of words",
            "The probabilities have a sum of 1 already.",
            ("tokens @ table[:words]", "tokens @ table[:words] / words"),
        ),
        wrong(
            "scaled by the root of the width",
            "That is Gemma's scaling; Ovis2 has none.",
            ("tokens @ table[:words]", "tokens @ table[:words] * table.shape[1] ** 0.5"),
        ),
        wrong(
            "softmax once more",
            "The tokens are probabilities already.",
            ("tokens @ table[:words]", "(np.exp(tokens) / np.exp(tokens).sum(axis=-1, keepdims=True)) @ table[:words]"),
        ),
        wrong(
            "summed over the tokens",
            "Each token has its own embedding.",
            ("tokens @ table[:words]", "(tokens @ table[:words]).sum(axis=1)"),
        ),
        wrong(
            "the least likely first",
            "Row w goes with probability w: nothing is sorted.",
            ("tokens @ table[:words]", "np.sort(tokens, axis=-1) @ table[:words]"),
        ),
        wrong(
            "the words in reverse",
            "Row w goes with probability w.",
            ("tokens @ table[:words]", "tokens @ table[:words][::-1]"),
        ),
        wrong(
            "float64 by accident",
            "float32 in, float32 out.",
            ("tokens @ table[:words]", "tokens @ table[:words].astype(np.float64)"),
        ),
        wrong("identity", "The tokens come back as they were.", ("return tokens @ table[:words]", "return tokens")),
    ),
    solution=(visual_tokenizer.embed_visual_tokens,),
    notice=(
        "both programs append zeros for the indicators to the tokens and multiply those, too: adding 0 changes nothing,"
        " so the project leaves it out. Because the mean is smooth, the whole model can be trained through it; argmax "
        "would stop gradients."
    ),
)
