"""Top-p.

Sampling from all tokens sometimes draws a very unlikely one. Top-p keeps the smallest set of likeliest tokens that have a
probability of p or more together, and rules out the others with a score of -infinity (Holtzman et al., 2019).

    probabilities 0.5, 0.3, 0.2 and p = 0.6: the first two stay, for 0.5 alone is less than 0.6

The likeliest token always stays.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.generation import truncation


def top_p(scores: Float[np.ndarray, "batch vocabulary"], p: float) -> Float[np.ndarray, "batch vocabulary"]:
    """Return the scores with -infinity for every token outside the smallest set that has the probability `p`.

    The probabilities are the softmax of the scores. No two scores of a row are equal.
    """
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    powers = np.exp(ranked - ranked[:, :1])
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    before = np.cumsum(probabilities, axis=1) - probabilities
    stays = before < p
    stays[:, 0] = True
    kept = np.where(stays, ranked, -np.inf)
    result = np.empty_like(scores)
    np.put_along_axis(result, order, kept, axis=1)
    return result


def project(scores: np.ndarray, p: float) -> np.ndarray:
    return truncation.top_p(scores, p)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for probabilities, p in (
        ([[0.7, 0.3]], 0.6),
        ([[0.3, 0.7]], 0.6),
        ([[0.3, 0.7]], 0.8),
        ([[0.5, 0.3, 0.2]], 0.6),
        ([[0.2, 0.5, 0.3]], 0.81),
        ([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], 0.6),
        ([[0.4, 0.25, 0.2, 0.15]], 0.5),
        ([[0.6, 0.4], [0.45, 0.55]], 0.05),
        ([[0.3, 0.7]], 0.0),
        ([[0.3, 0.7]], 1.0),
    ):
        yield {"scores": np.log(probabilities), "p": p}
    for batch, vocabulary, p in ((1, 4, 0.9), (2, 6, 0.7), (3, 8, 0.95), (3, 8, 0.4)):
        yield {"scores": rng.normal(0, 2, (batch, vocabulary)), "p": p}
    yield {"scores": rng.normal(0, 2, (2, 5)).astype(np.float32), "p": 0.75}
    yield {"scores": np.array([[800.0, 799.0, 1.0]]), "p": 0.8}


EXERCISE = Exercise(
    answer=top_p,
    expected=project,
    cases=cases,
    minutes=12,
    hints=(
        "Sort each row from likely to unlikely. A token stays if those before it don't have p yet.",
        "The probability before a token is the cumulated sum less its own. Then the scores go back to their places.",
        "before = np.cumsum(probabilities, axis=1) - probabilities, kept where before < p; the first always",
    ),
    wrong=(
        wrong(
            "the token that reaches p left out",
            "The set has p or more together: the token that reaches it belongs to it.",
            (" - probabilities\n", "\n"),
            ("before < p", "before <= p"),
        ),
        wrong(
            "not put back",
            "Each score returns to its token: undo the sorting.",
            ("np.put_along_axis(result, order, kept, axis=1)", "result[:] = kept"),
        ),
        wrong(
            "order for places",
            "kept[i] belongs to token order[i]; taking with `order` sorts a second time.",
            (
                "np.put_along_axis(result, order, kept, axis=1)",
                "result[:] = np.take_along_axis(kept, order, axis=1)",
            ),
        ),
        wrong(
            "unlikely first",
            "The likeliest tokens stay: sort descending.",
            ("np.argsort(-scores", "np.argsort(scores"),
            ("ranked[:, :1]", "ranked[:, -1:]"),
        ),
        wrong(
            "0 for -infinity",
            "A score of 0 is a likely token. -infinity has the probability 0.",
            ("ranked, -np.inf", "ranked, 0"),
        ),
        wrong(
            "probabilities returned",
            "The scores themselves come back.",
            ("stays, ranked", "stays, probabilities"),
        ),
        wrong(
            "one order for all rows",
            "Each row has its own order.",
            ("np.argsort(-scores, axis=1)", "np.argsort(-scores, axis=1)[:1].repeat(len(scores), 0)"),
        ),
        wrong(
            "each token against p",
            "The probabilities are cumulated: it is the set that has p.",
            ("before < p", "probabilities > 1 - p"),
        ),
        wrong("1 - p", "The set has the probability p.", ("before < p", "before < 1 - p")),
        wrong(
            "a share of the likeliest",
            "That is min-p: p times the highest probability.",
            ("before < p", "probabilities >= p * probabilities[:, :1]"),
        ),
        wrong(
            "scores for probabilities",
            "Cumulate probabilities: the softmax is missing.",
            ("powers / powers.sum(axis=1, keepdims=True)", "ranked"),
        ),
        wrong(
            "overflow", "Subtract each row's maximum before exp.", ("np.exp(ranked - ranked[:, :1])", "np.exp(ranked)")
        ),
        wrong("identity", "The scores come back as they were.", ("return result", "return scores.copy()")),
        wrong(
            "one token more",
            "The set is the smallest one: it ends with the token that reaches p.",
            ("before < p", "before - np.pad(probabilities, ((0, 0), (1, 0)))[:, :-1] < p"),
        ),
        wrong("float64 by accident", "float32 in, float32 out.", ("np.empty_like(scores)", "np.empty(scores.shape)")),
        wrong(
            "the likeliest may go", "The likeliest token always stays, also at p = 0.", ("    stays[:, 0] = True\n", "")
        ),
        wrong(
            "tokens of p or more each",
            "The probabilities are cumulated: it is the set that has p, not each token.",
            ("before < p", "probabilities >= p"),
            ("    stays[:, 0] = True\n", ""),
        ),
    ),
    solution=(truncation.top_p,),
    notice=(
        "transformers sorts ascending and cuts while the sum is at most 1 - p: the same set on paper, and in float32 "
        "not always. The project does it in that order, and carries the sum in float64 as torch does on a CPU."
    ),
)
