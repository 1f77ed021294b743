"""Many requests about one picture in one sequence.

The prompt up to the picture's end is the same for every request. So it comes once, as a prefix, followed by several
segments, each the rest of a prompt with its answer. A segment sees only the prefix and itself, and its positions continue
from the prefix, so each answer is computed exactly as in a separate sequence.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ovis2_ref.tiny.training.questions import ask, in_other_words
from ovis2_ref.tiny.training.scenes import Scene
from ovis2_ref.tiny.training.tokens import GREETING, load_tokenizer
from ovis2_ref.tiny.training.words import CELLS

KINDS_ASKED = {
    "describe": 2, "count": 1, "colour": 4, "shape": 1, "there": 3, "beside": 3, "order": 3, "end": 1, "has_colour": 2
}  # fmt: skip
"""How many requests of each kind a picture gets in training: more where an answer carries little signal."""

IN_OTHER_WORDS = 0.35
"""The part of the requests that is asked in other words than the usual ones."""

NO_LABEL = -100
START_OF_PROMPT = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
PADDING = -1


@cache
def token_ids(text: str) -> tuple[int, ...]:
    """Tokenize text that may hold special tokens."""
    return tuple(load_tokenizer().encode(text))


@cache
def picture_ids(grid: tuple[int, int]) -> tuple[int, ...]:
    """Lay out the placeholders of a picture cut by this grid, as transformers' Ovis2Processor does."""
    atoms = "<IMG_ATOM>" * CELLS**2
    rows = ["<IMG_COL>".join([atoms] * grid[1])] * grid[0] if grid != (1, 1) else []
    return token_ids(f"<IMG_START>{atoms}<IMG_GRID>{'<IMG_ROW>'.join(rows)}<IMG_END>")


def request_ids(request: str, picture: bool = True) -> tuple[int, ...]:
    """Tokenize the part of the prompt from the end of its picture to the start of the answer."""
    return token_ids(("\n" if picture else "") + request + "<|im_end|>\n<|im_start|>assistant\n")


def answer_ids(answer: str) -> tuple[int, ...]:
    """Tokenize an answer with the token that ends it."""
    return token_ids(answer + "<|im_end|>")


@dataclass(frozen=True)
class Sequence:
    """One picture's prefix and its segments, each (kind of request, prompt's rest, answer), the latter two as token ids."""

    prefix: tuple[int, ...]
    segments: list[tuple[str, tuple[int, ...], tuple[int, ...]]]


def sequence_about(scene: Scene, grid: tuple[int, int], rng: np.random.Generator) -> Sequence:
    """Ask requests about a scene, so many of each kind as `KINDS_ASKED` says; what comes twice is asked once."""
    asked = [ask(scene, kind, rng) for kind, times in KINDS_ASKED.items() for _ in range(times)]
    questions = [in_other_words(q, rng) if rng.random() < IN_OTHER_WORDS else q for q in asked if q]
    segments = [(q.kind, request_ids(q.request), answer_ids(q.answer)) for q in dict.fromkeys(questions)]
    return Sequence(token_ids(START_OF_PROMPT) + picture_ids(grid), segments)


def greeting() -> Sequence:
    """Make the one prompt without a picture."""
    request, answer = GREETING
    return Sequence(token_ids(START_OF_PROMPT), [("greeting", request_ids(request, picture=False), answer_ids(answer))])


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, padded on the right.

    `ids`, `positions` and `labels` are (sequences, tokens); a label is the token to be predicted there, or
    `NO_LABEL`. `mask` is (sequences, 1, tokens, tokens), true where a token (row) sees another (column).
    `answers` lists each answer's kind and number of labels, in the order of the labels.
    """

    ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    answers: list[tuple[str, int]]


def batch_of(sequences: list[Sequence]) -> Batch:
    """Lay the sequences side by side."""
    lengths = [len(s.prefix) + sum(len(asked) + len(answer) for _, asked, answer in s.segments) for s in sequences]
    shape = len(sequences), max(lengths)
    ids, positions, owner = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, PADDING)
    labels = np.full(shape, NO_LABEL)
    for row, sequence in enumerate(sequences):
        end = len(sequence.prefix)
        ids[row, :end], positions[row, :end], owner[row, :end] = sequence.prefix, np.arange(end), 0
        for number, (_, asked, answer) in enumerate(sequence.segments, start=1):
            start, end = end, end + len(asked) + len(answer)
            ids[row, start:end], owner[row, start:end] = asked + answer, number
            positions[row, start:end] = len(sequence.prefix) + np.arange(end - start)
            labels[row, start + len(asked) - 1 : end - 1] = answer
    mine, other = owner[:, :, None], owner[:, None, :]
    mask = np.tril((other == mine) | (other == 0))
    answers = [(kind, len(answer)) for sequence in sequences for kind, _, answer in sequence.segments]
    return Batch(ids, positions, labels, mask[:, None], answers)
