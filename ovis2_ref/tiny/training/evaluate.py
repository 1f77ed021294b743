"""Ask about scenes that training never saw: `python -m ovis2_ref.tiny.training.evaluate [--scenes 500] [--seed 0]`.

Every scene gets one request of each kind that it allows, and an answer counts as right only if every letter is right. A second
table has a row for each way in which scenes or requests differ from the usual ones.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.questions import ASKERS, Question, ask, in_other_words
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, WIDE_SORTS, Scene, draw_scene, draw_wide_scene

MAX_NEW_TOKENS = 32
USUAL = tuple(kind for kind in ASKERS if kind != "has_colour")
"""The kinds of requests of the first table."""

Asked = tuple[Scene, list[Question]]


def questions_about(seed: int) -> Asked:
    """Draw a scene and ask one request of each usual kind that it allows."""
    return asked_about(draw_scene(seed), seed)


def asked_about(scene: Scene, seed: int, kinds: Iterable[str] = USUAL) -> Asked:
    """Ask one request of each of `kinds` that the scene allows."""
    rng = np.random.default_rng([seed, 1])
    asked = [ask(scene, kind, rng) for kind in kinds]
    return scene, [question for question in asked if question]


def _in_other_words(seed: int) -> Asked:
    (scene, questions), rng = questions_about(seed), np.random.default_rng([seed, 4])
    return scene, [in_other_words(question, rng) for question in questions]


def _wide(sort: str) -> Callable[[int], Asked]:
    return lambda seed: asked_about(draw_wide_scene(seed, sort), seed, ASKERS)


VARIATIONS: dict[str, Callable[[int], Asked]] = {
    "has_colour": lambda seed: asked_about(draw_scene(seed), seed, ("has_colour",)),
    "in other words": _in_other_words,
    **{sort: _wide(sort) for sort in WIDE_SORTS},
}
"""The rows of the second table: scene and requests of a seed."""


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
    about: Callable[[int], Asked] = questions_about,
) -> Iterator[tuple[int, Question, str]]:
    """Ask what `about` says about the scenes of these seeds, as `render` draws them, and yield (seed, question, answer)."""
    for seed in tqdm(seeds, desc=title, unit="scene"):
        scene, questions = about(seed)
        answers = answer(render(scene, seed), [question.request for question in questions])
        for question, given in zip(questions, answers, strict=True):
            yield seed, question, given


def table(title: str, right: dict[str, list[bool]]) -> str:
    """Lay out the results, in Markdown, with a row for each key and one for all."""
    rows = [*right.items(), ("all", [answer for answers in right.values() for answer in answers])]
    lines = [f"| {title} | asked | right | per cent |", "|---|---:|---:|---:|"]
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
    seeds, answer = range(given.seed, given.seed + given.scenes), Answerer(given.checkpoint).answer
    right: dict[str, list[bool]] = {kind: [] for kind in USUAL}
    varied: dict[str, list[bool]] = {name: [] for name in VARIATIONS}
    for name, about in {"usual": questions_about, **VARIATIONS}.items():
        for seed, question, answered in judge(answer, seeds, title=name, about=about):
            (right[question.kind] if name == "usual" else varied[name]).append(answered == question.answer)
            if given.wrong and answered != question.answer:
                print(
                    f"{name} scene {seed}: {question.request} {answered!r}, should be {question.answer!r}",
                    file=sys.stderr,
                )
    print(table("request", right), table("scenes or requests", varied), sep="\n\n")


if __name__ == "__main__":
    main()
