"""The greedy loop.

A language model gives the logits of the next token for a text. Greedy search takes the highest, puts that token behind the
text, and asks again, until the end token comes or enough tokens are made. The end token belongs to the answer.

    prompt [1, 2]  ->  model([1, 2]) has its highest logit at 5  ->  model([1, 2, 5]) ...
"""

from collections.abc import Callable, Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.exercises.table_model import TableModel
from ovis2_ref.generation.greedy import greedy as decode


def greedy(model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int) -> list[int]:
    """Return the tokens that follow `prompt`: up to and with `end`, and at most `new_tokens`; of equal logits the first wins."""
    answer: list[int] = []
    for _ in range(new_tokens):
        token = int(np.argmax(model(prompt + answer)))
        answer.append(token)
        if token == end:
            break
    return answer


def from_behind(model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int) -> list[int]:
    """Return the same by recursion."""
    if new_tokens == 0:
        return []
    logits = model(prompt)
    token = min(i for i in range(len(logits)) if logits[i] == max(logits))
    return [token] if token == end else [token, *from_behind(model, [*prompt, token], end, new_tokens - 1)]


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    step = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    for logits, prompt, end, new_tokens in (
        ([step, step], [0], 1, 1),
        ([step, step], [0], 2, 5),
        ([step, step], [2], 1, 5),
        ([step, step], [1], 1, 2),
        ([step, step], [0, 2], 2, 2),
        ([step, step], [0], 0, 0),
        ([[[1.0, 1.0], [3.0, 3.0]]] * 2, [1], 1, 2),
        ([step, step], [1], 0, 5),
    ):
        yield {"model": TableModel(logits), "prompt": prompt, "end": end, "new_tokens": new_tokens}
    for _ in range(8):
        table = rng.integers(-9, 10, (2, 5, 5)).astype(float).tolist()
        prompt = [int(token) for token in rng.integers(0, 5, rng.integers(1, 4))]
        yield {"model": TableModel(table), "prompt": prompt, "end": 4, "new_tokens": 6}


EXERCISE = Exercise(
    answer=greedy,
    expected=from_behind,
    cases=cases,
    one_file="greedy",
    minutes=8,
    hints=(
        "A loop of at most new_tokens steps. What does the model have to see in each?",
        "It sees the prompt and all tokens so far. Append first, then look whether it was the end.",
        "token = int(np.argmax(model(prompt + answer)))",
    ),
    wrong=(
        wrong(
            "the end left out",
            "The end token belongs to the answer: append before you stop.",
            (
                "        answer.append(token)\n        if token == end:\n            break",
                "        if token == end:\n            break\n        answer.append(token)",
            ),
        ),
        wrong("no stop at the end", "Stop when the end token has come.", ("token == end", "False")),
        wrong("one token too many", "At most new_tokens tokens.", ("range(new_tokens)", "range(new_tokens + 1)")),
        wrong("one token too few", "Up to new_tokens tokens.", ("range(new_tokens)", "range(new_tokens - 1)")),
        wrong("always the prompt", "The model has to see the tokens made so far, too.", ("prompt + answer", "prompt")),
        wrong(
            "the last token alone",
            "The model sees the whole text. With a cache it is given one token, and remembers the others.",
            ("prompt + answer", "(prompt + answer)[-1:]"),
        ),
        wrong(
            "the answer without the prompt",
            "The model sees the prompt, then the answer so far.",
            ("model(prompt + answer)", "model(answer or prompt)"),
        ),
        wrong(
            "the prompt returned, too",
            "Only the tokens that follow the prompt.",
            ("return answer", "return prompt + answer"),
        ),
        wrong("the lowest", "The highest logit wins.", ("np.argmax", "np.argmin")),
        wrong(
            "the last of equals",
            "Of equal logits the first wins, as argmax does it.",
            (
                "int(np.argmax(model(prompt + answer)))",
                "len(model(prompt + answer)) - 1 - int(np.argmax(model(prompt + answer)[::-1]))",
            ),
        ),
        wrong(
            "the prompt's tokens counted",
            "new_tokens is the number of tokens after the prompt.",
            ("range(new_tokens)", "range(new_tokens - len(prompt))"),
        ),
        wrong(
            "stops at an end in the prompt",
            "An end token in the prompt ends nothing.",
            ("for _ in range(new_tokens):", "for _ in range(0 if end in prompt else new_tokens):"),
        ),
        wrong(
            "the prompt grows",
            "Make a new list: the caller's prompt stays as it is.",
            ("        answer.append(token)", "        answer.append(token)\n        prompt.append(token)"),
            ("prompt + answer", "list(prompt)"),
        ),
        wrong(
            "only the last token asked about",
            "The model sees the whole text so far.",
            ("model(prompt + answer)", "model((answer or prompt)[-1:] if answer else prompt)"),
        ),
    ),
    solution=(decode,),
    notice=(
        "the project's loop has many rows, which end at different times: those that have ended go on with the padding "
        "token. Only chosen tokens cross between host and device, and the KV cache spares the model the text it has "
        "read."
    ),
)
