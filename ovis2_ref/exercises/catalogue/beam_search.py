"""Beam search.

Greedy search can't take back a token. Beam search follows several texts, the beams, at once. The score of a text is the sum
of its tokens' log-probabilities. In each step

1. every token after every beam is a candidate; the 2 * `beams` with the highest scores are looked at, in this order (of equal
   scores, the candidate of the earlier beam comes first, then the lower token);
2. of the first `beams` of them, those that end with the end token are finished;
3. of all of them, the first `beams` that don't end go on as the beams.

After the last step the beams are finished as well. The answer is the finished text with the highest score / length, where
length counts the new tokens, the end token among them; of equals, the one that was finished first.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.exercises.table_model import TableModel
from ovis2_ref.generation import beam


def beam_search(
    model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int, beams: int
) -> list[int]:
    """Return the new tokens of the best text; `model` gives the log-probability of every token after a text.

    The vocabulary has at least 2 `beams` tokens.
    """
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(new_tokens):
        candidates = [
            (score + float(log_probability), [*text, token])
            for score, text in running
            for token, log_probability in enumerate(model(prompt + text))
        ]
        best = sorted(candidates, key=lambda candidate: -candidate[0])[: 2 * beams]
        finished += [candidate for candidate in best[:beams] if candidate[1][-1] == end]
        running = [candidate for candidate in best if candidate[1][-1] != end][:beams]
    finished += running
    return max(finished, key=lambda candidate: candidate[0] / len(candidate[1]))[1]


def in_arrays(
    model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int, beams: int
) -> list[int]:
    """Return the same with scores in one array, as the project has them."""
    texts: list[list[int]] = [[]]
    scores = np.zeros(1)
    best: tuple[float, list[int]] = (-np.inf, [])
    for step in range(1, new_tokens + 1):
        total = scores[:, None] + np.stack([model(prompt + text) for text in texts])
        order = np.argsort(-total.ravel(), kind="stable")[: 2 * beams]
        grown = [[*texts[i // total.shape[1]], int(i % total.shape[1])] for i in order]
        ranked = total.ravel()[order]
        ends = np.array([text[-1] == end for text in grown])
        for rank in np.flatnonzero(ends[:beams]):
            if ranked[rank] / step > best[0]:
                best = (ranked[rank] / step, grown[rank])
        kept = np.flatnonzero(~ends)[:beams]
        texts, scores = [grown[i] for i in kept], ranked[kept]
    for text, score in zip(texts, scores, strict=True):
        if score / new_tokens > best[0]:
            best = (score / new_tokens, text)
    return best[1]


def drawn_model(rng: np.random.Generator, vocabulary: int, sharpness: float) -> TableModel:
    """Log-probabilities to three digits, so that they can be read."""
    logits = sharpness * rng.normal(size=(2, vocabulary, vocabulary))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return TableModel(np.log(probabilities).round(3).tolist())


def models_with_traps() -> Iterator[Inputs]:
    """A beam too many that would win, a late end that isn't among the best, three ends that leave too few beams to run,
    an end that is better later.
    """
    second_best = [[-9.0, -0.5, -0.6], [-9.0, -9.0, -9.5], [-9.0, -8.0, -0.1]]
    yield {"model": TableModel([second_best] * 2), "prompt": [0], "end": 0, "new_tokens": 2, "beams": 1}
    dead_end = [[0.0, 0.0], [-9.0, -9.5]]
    yield {
        "model": TableModel([dead_end, [[0.0, 0.0], [-0.6, -0.5]]]),
        "prompt": [1],
        "end": 0,
        "new_tokens": 2,
        "beams": 1,
    }
    after = [[-9.0] * 6 for _ in range(6)]
    after[0][1:4] = [-1.1, -1.1, -1.1]
    for token, (follower, log_probability) in {1: (4, -0.6), 2: (4, -0.7), 3: (5, -0.8), 5: (5, -0.01)}.items():
        after[token][follower] = log_probability
        after[token][0] = -0.5 if token < 4 else -9.0
    yield {"model": TableModel([after, after]), "prompt": [0], "end": 0, "new_tokens": 6, "beams": 3}
    late = [[-9.0] * 4, [-0.4, -3.0, -4.0, -9.0], [-9.0] * 4, [-1.0, -0.5, -3.0, -9.0]]
    yield {"model": TableModel([late, late]), "prompt": [3], "end": 0, "new_tokens": 2, "beams": 2}


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    yield from models_with_traps()
    for vocabulary, beams, new_tokens in (
        (2, 1, 2),
        (4, 2, 1),
        (4, 2, 2),
        (4, 2, 3),
        (4, 1, 4),
        (6, 3, 3),
        (6, 2, 5),
        (6, 3, 5),
    ):
        for sharpness in (0.5, 1.0, 2.0):
            prompt = [int(token) for token in rng.integers(0, vocabulary, rng.integers(1, 3))]
            model = drawn_model(rng, vocabulary, sharpness)
            end = int(rng.integers(0, vocabulary)) if sharpness != 1 else 0
            yield {"model": model, "prompt": prompt, "end": end, "new_tokens": new_tokens, "beams": beams}


EXERCISE = Exercise(
    answer=beam_search,
    expected=in_arrays,
    cases=cases,
    minutes=20,
    hints=(
        "Keep two lists of (score, new tokens): those that run, and those that are finished.",
        (
            "A step: all candidates, sorted by score, the first 2 beams. The ends among the first `beams` finish; the first"
            " others run."
        ),
        "max(finished, key=lambda candidate: candidate[0] / len(candidate[1]))",
    ),
    wrong=(
        wrong(
            "the last score alone",
            "A text's score is the sum over all its tokens.",
            ("score + float(log_probability)", "float(log_probability)"),
        ),
        wrong(
            "not divided by the length",
            "Longer texts have lower sums: divide by the number of new tokens.",
            ("candidate[0] / len(candidate[1])", "candidate[0]"),
        ),
        wrong(
            "divided by the whole length",
            "Only the new tokens count, not the prompt.",
            ("len(candidate[1])", "(len(prompt) + len(candidate[1]))"),
        ),
        wrong(
            "every end finished",
            "Only the ends among the first `beams` candidates are finished.",
            ("best[:beams]", "best"),
        ),
        wrong(
            "ended texts go on",
            "A text that has ended doesn't run any more.",
            ("[candidate for candidate in best if candidate[1][-1] != end][:beams]", "best[:beams]"),
        ),
        wrong(
            "too few candidates",
            "With as many candidates as beams, ended ones leave fewer to run: look at 2 beams.",
            ("[: 2 * beams]", "[:beams]"),
        ),
        wrong(
            "the beams forgotten at the end",
            "After the last step the running beams are finished as well.",
            ("finished += running", "finished += running * (not finished)"),
        ),
        wrong(
            "the best of the finished ones only by score",
            "Compare score / length among all finished, not the first one.",
            ("max(finished, key=lambda candidate: candidate[0] / len(candidate[1]))", "finished[0]"),
        ),
        wrong(
            "too many beams",
            "Of the candidates that are looked at, only the first `beams` that don't end go on.",
            ("!= end][:beams]", "!= end]"),
        ),
        wrong("greedy", "Follow `beams` texts at once.", ("!= end][:beams]", "!= end][:1]")),
        wrong(
            "the worst",
            "The highest score first: sort descending.",
            ("key=lambda candidate: -candidate[0]", "key=lambda candidate: candidate[0]"),
        ),
        wrong(
            "the prompt not shown",
            "The model sees the prompt and the new tokens.",
            ("model(prompt + text)", "model(text or prompt)"),
        ),
        wrong(
            "the end token left out",
            "The end token belongs to the text.",
            (
                "candidate[0] / len(candidate[1]))[1]",
                "candidate[0] / len(candidate[1]))[1]\n    return [token for token in answer if token != end]",
            ),
            ("return max", "answer = max"),
        ),
        wrong("one step too few", "new_tokens steps.", ("range(new_tokens)", "range(new_tokens - 1)")),
        wrong("the prompt returned, too", "Only the new tokens.", ("return max", "return prompt + max")),
        wrong(
            "multiplied by the length", "Divide the score by the length.", ("candidate[0] / len", "candidate[0] * len")
        ),
    ),
    solution=(beam.beam_search, beam.continuations, beam.update_ended, beam.go_on),
    notice=(
        "the project does the same for many prompts in arrays, and stops early where no running beam can win any more. "
        "transformers' early_stopping and length_penalty say how sure it has to be; your search never stops early."
    ),
)
