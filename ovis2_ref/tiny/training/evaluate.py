"""Ask about scenes that training never saw: `python -m ovis2_ref.tiny.training.evaluate [--scenes 500] [--seed 0]`.

Uses `ovis2_ref` alone. Every scene gets one request of each kind that it allows, and an answer counts as right when
it is so to the letter.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.questions import ASKERS, Question, ask
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, Scene, draw_scene

MAX_NEW_TOKENS = 32


def questions_about(seed: int) -> tuple[Scene, list[Question]]:
    """Draw a scene and ask one request of each kind that it allows."""
    scene, rng = draw_scene(seed), np.random.default_rng([seed, 1])
    asked = [ask(scene, kind, rng) for kind in ASKERS]
    return scene, [question for question in asked if question]


class Answerer:
    """A model with its processor. `library` is any module with transformers' names: `ovis2_ref` or `transformers`."""

    def __init__(self, library, folder: Path, return_tensors: str = "np"):
        self.processor = library.Ovis2Processor.from_pretrained(folder)
        self.model = library.Ovis2ForConditionalGeneration.from_pretrained(folder)
        self.return_tensors = return_tensors

    def answer(self, picture: np.ndarray, request: str) -> str:
        """Answer a request about a picture, (height, width, 3) uint8."""
        content = [{"type": "image"}, {"type": "text", "text": request}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(images=picture, text=prompt, return_tensors=self.return_tensors)
        ids = self.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS)
        new = ids[:, inputs["input_ids"].shape[1] :]
        return self.processor.batch_decode(new, skip_special_tokens=True)[0]


def judge(answer: Callable[[np.ndarray, str], str], seeds: range) -> Iterator[tuple[int, Question, str]]:
    """Ask about the scenes of these seeds and yield (seed, question, answer)."""
    for seed in tqdm(seeds, unit="scene", disable=not sys.stderr.isatty()):
        scene, questions = questions_about(seed)
        picture = scene.render()
        for question in questions:
            yield seed, question, answer(picture, question.request)


def table(right: dict[str, list[bool]]) -> str:
    """Lay out the results by kind of request, in Markdown."""
    rows = [*right.items(), ("all", [answer for answers in right.values() for answer in answers])]
    lines = ["| request | asked | right | per cent |", "|---|---:|---:|---:|"]
    lines += [f"| {kind} | {len(got)} | {sum(got)} | {100 * np.mean(got):.1f} |" for kind, got in rows if got]
    return "\n".join(lines)


def main() -> None:
    """Read the command line, ask, and print the table; wrong answers go to stderr with --wrong."""
    parser = argparse.ArgumentParser(description="Ask the tiny Ovis2 about scenes that training never saw.")
    parser.add_argument("--scenes", type=int, default=500, help="how many scenes (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene (default: 0)")
    parser.add_argument("--checkpoint", type=Path, default=TINY, help="folder of the checkpoint")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers to stderr")
    given = parser.parse_args()
    if not 0 <= given.seed <= given.seed + given.scenes <= DEVELOPMENT_SEED or given.scenes == 0:
        parser.error(
            f"need at least one scene, and seeds from 0 to {DEVELOPMENT_SEED - 1}: training saw some of the others"
        )
    import ovis2_ref

    right: dict[str, list[bool]] = {kind: [] for kind in ASKERS}
    seeds = range(given.seed, given.seed + given.scenes)
    answerer = Answerer(ovis2_ref, given.checkpoint)
    for seed, question, answer in judge(answerer.answer, seeds):
        right[question.kind].append(answer == question.answer)
        if given.wrong and answer != question.answer:
            print(f"scene {seed}: {question.request} {answer!r}, should be {question.answer!r}", file=sys.stderr)
    print(table(right))


if __name__ == "__main__":
    main()
