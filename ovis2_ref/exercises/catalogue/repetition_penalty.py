"""The repetition penalty.

Small models like to repeat themselves. A penalty above 1 makes every token that has occurred in the text so far less
likely: its score is divided by the penalty, or, where it is negative, multiplied (Keskar et al., 2019, section 4.1).

    score / penalty  for score > 0,    score penalty  for score < 0
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.generation import processors


def repetition_penalty(
    ids: Int[np.ndarray, "batch tokens"], scores: Float[np.ndarray, "batch vocabulary"], penalty: float
) -> Float[np.ndarray, "batch vocabulary"]:
    """Return the scores of the next token, lowered for every token that occurs in its row of `ids`, however often."""
    rows = np.arange(len(ids))[:, None]
    occurred = np.zeros(scores.shape, bool)
    occurred[rows, ids] = True
    lowered = np.where(scores > 0, scores / penalty, scores * penalty)
    return np.where(occurred, lowered, scores)


def project(ids: np.ndarray, scores: np.ndarray, penalty: float) -> np.ndarray:
    return processors.repetition_penalty(ids, scores, penalty)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for ids, scores, penalty in (
        ([[0]], [[2.0, 1.0]], 2.0),
        ([[0]], [[-2.0, 1.0]], 2.0),
        ([[1, 1]], [[3.0, 4.0]], 2.0),
        ([[0, 1]], [[1.0, -1.0, 3.0]], 1.5),
        ([[0], [1]], [[2.0, 4.0], [6.0, 8.0]], 2.0),
    ):
        yield {"ids": np.array(ids), "scores": np.array(scores), "penalty": penalty}
    for batch, tokens, vocabulary in ((1, 3, 5), (2, 3, 5), (3, 4, 8)):
        yield {
            "ids": rng.integers(0, vocabulary, (batch, tokens)),
            "scores": rng.normal(0, 3, (batch, vocabulary)).astype(np.float32),
            "penalty": 1.3,
        }


EXERCISE = Exercise(
    answer=repetition_penalty,
    expected=project,
    cases=cases,
    minutes=8,
    hints=(
        "Two questions for every token of the vocabulary: has it occurred in this row, and is its score positive?",
        "Mark the tokens in an array of False with index arrays for row and token; np.where answers both questions.",
        "occurred[np.arange(len(ids))[:, None], ids] = True",
    ),
    wrong=(
        wrong(
            "divided always",
            "Dividing a negative score makes the token likelier: multiply it.",
            ("np.where(scores > 0, scores / penalty, scores * penalty)", "scores / penalty"),
        ),
        wrong(
            "multiplied always",
            "Multiplying a positive score makes the token likelier: divide it.",
            ("np.where(scores > 0, scores / penalty, scores * penalty)", "scores * penalty"),
        ),
        wrong("a reward", "The other way: positive scores are divided.", ("scores > 0", "scores < 0")),
        wrong(
            "subtracted",
            "Scores are divided or multiplied; subtracting is a presence penalty.",
            ("np.where(scores > 0, scores / penalty, scores * penalty)", "scores - penalty"),
        ),
        wrong(
            "once for every occurrence",
            "However often a token occurs, it is lowered once.",
            (
                "    return np.where(occurred, lowered, scores)",
                "    times = np.zeros(scores.shape, int)\n    np.add.at(times, (rows, ids), 1)\n"
                "    factor = float(penalty) ** times\n"
                "    return np.where(scores > 0, scores / factor, scores * factor).astype(scores.dtype)",
            ),
        ),
        wrong(
            "every token lowered",
            "Only tokens that occur in the text.",
            ("np.where(occurred, lowered, scores)", "lowered"),
        ),
        wrong(
            "those that haven't occurred",
            "The tokens that occur are lowered.",
            ("np.where(occurred, lowered, scores)", "np.where(occurred, scores, lowered)"),
        ),
        wrong(
            "the last token alone",
            "Every token of the text so far counts.",
            ("occurred[rows, ids] = True", "occurred[rows, ids[:, -1:]] = True"),
        ),
        wrong(
            "the rows mixed",
            "Each row has its own text: index with row and token.",
            ("occurred[rows, ids] = True", "occurred[:, ids.ravel()] = True"),
        ),
        wrong(
            "the last token left out",
            "The text so far has its last token, too.",
            ("occurred[rows, ids] = True", "occurred[rows, ids[:, :-1]] = True"),
        ),
        wrong("identity", "The scores come back as they were.", ("np.where(occurred, lowered, scores)", "scores")),
        wrong(
            "ruled out",
            "A repeated token becomes less likely, not impossible.",
            ("occurred, lowered,", "occurred, -np.inf,"),
        ),
        wrong(
            "written into the scores",
            "Make a new array: the caller keeps the scores.",
            ("return np.where(occurred, lowered, scores)", "scores[occurred] = lowered[occurred]\n    return scores"),
        ),
    ),
    solution=(processors.repetition_penalty, processors.token_mask),
    notice=(
        "tokens outside the vocabulary, as the placeholders of the authors' prompts, mark nothing. Padding on the left "
        "doesn't count either: transformers 4.56 still punished the padding token for it."
    ),
)
