"""Ask about scenes that training never saw: `python -m ovis2_ref.tiny.training.evaluate [--scenes 500] [--seed 0]`.

Uses `ovis2_ref` alone. Every scene gets one request of each kind that it allows, and an answer counts as right only if
every letter is right.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
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
    """A checkpoint that answers several requests about a picture, which it encodes once."""

    def __init__(self, folder: Path):
        self.processor = Ovis2Processor.from_pretrained(folder)
        self.model = Ovis2ForConditionalGeneration.from_pretrained(folder)

    def answer(self, picture: np.ndarray, requests: list[str]) -> list[str]:
        """Answer requests about a picture, (height, width, 3) uint8, each as if it were the only one."""
        inputs = self.processor(
            images=[picture] * len(requests),
            text=[self.prompt(request) for request in requests],
            padding=True,
            padding_side="left",
            return_tensors="np",
        )
        ids, tiles = inputs["input_ids"], inputs["pixel_values"]
        images = self.model.get_image_features(tiles[: len(tiles) // len(requests)])
        embeddings = self.model.get_input_embeddings(ids)
        config = self.model.config
        visual = np.tile(images.pooler_output, (len(requests), 1, 1))
        embeddings[ids == config.image_token_id] = visual.reshape(-1, visual.shape[-1])
        for token, embedding in zip(config.visual_indicator_token_ids, images.visual_indicator_features, strict=True):
            embeddings[ids == token] = embedding
        new = self.model.generate(
            inputs_embeds=embeddings, attention_mask=inputs["attention_mask"], max_new_tokens=MAX_NEW_TOKENS
        )
        return self.processor.batch_decode(new, skip_special_tokens=True)

    def prompt(self, request: str) -> str:
        """Put a request about one picture into the chat template."""
        content = [{"type": "image"}, {"type": "text", "text": request}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def judge(
    answer: Callable[[np.ndarray, list[str]], list[str]],
    seeds: range,
    render: Callable[[Scene, int], np.ndarray] = lambda scene, seed: scene.render(),
    title: str | None = None,
) -> Iterator[tuple[int, Question, str]]:
    """Ask about the scenes of these seeds, as `render` draws them, and yield (seed, question, answer)."""
    for seed in tqdm(seeds, desc=title, unit="scene"):
        scene, questions = questions_about(seed)
        answers = answer(render(scene, seed), [question.request for question in questions])
        for question, given in zip(questions, answers, strict=True):
            yield seed, question, given


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
    right: dict[str, list[bool]] = {kind: [] for kind in ASKERS}
    seeds = range(given.seed, given.seed + given.scenes)
    for seed, question, answer in judge(Answerer(given.checkpoint).answer, seeds):
        right[question.kind].append(answer == question.answer)
        if given.wrong and answer != question.answer:
            print(f"scene {seed}: {question.request} {answer!r}, should be {question.answer!r}", file=sys.stderr)
    print(table(right))


if __name__ == "__main__":
    main()
