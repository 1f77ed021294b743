"""The jobs that are timed: one for each row of the table, in our program and in transformers' with both of its attentions.

Inputs are made before the clock starts. All programs of a job compute the same values (`test_jobs.py` shows it).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import DynamicCache

from tests.benchmarks.inputs import answer_inputs, drawn_ids, drawn_pixels, image_processor, scene
from tests.benchmarks.limits import Stage, prefill_stage, step_stage, vision_stage
from tests.benchmarks.processes import cold_start
from tests.benchmarks.shapes import OURS, SDPA, Models
from tests.benchmarks.turns import Run

STEPS = 8
"""Decoding steps in one run."""
ANSWER = 32
"""New tokens of a whole answer."""


class Job(NamedTuple):
    """What is timed: programs by name, and the stages that each goes through."""

    runs: dict[str, Run]
    stages: Sequence[Stage] = ()
    steps: int = 1
    """Times that a run goes through the stages."""


def three(models: Models, ours: Run, theirs: Callable[[Any], Any]) -> dict[str, Run]:
    """Our program, and transformers' with each attention: `theirs` takes its model."""

    def run(attention: str) -> Any:
        with torch.no_grad():
            return theirs(models.theirs[attention])

    return {OURS: ours} | {attention: partial(run, attention) for attention in models.theirs}


def picture(size: str, models: Models) -> Job:
    """A picture of `size` ("4000x3000", width first) -> nine tiles at most and a thumbnail: no attention in it."""
    side = models.config.vision_config.image_size
    drawn = scene(size)
    return Job({program: partial(image_processor(program, side), drawn) for program in (OURS, SDPA)})


def tiles(count: int, models: Models) -> Job:
    """Tiles -> visual embeddings."""
    pixels = drawn_pixels(count, models.config)
    runs = three(
        models,
        lambda: models.ours.get_image_features(pixels).pooler_output,
        lambda theirs: theirs.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output,
    )
    return Job(runs, [vision_stage(count, models.config)])


def prefill(tokens: int, models: Models) -> Job:
    """A prompt of text -> the last token's logits."""
    ids = drawn_ids((1, tokens), models.config)
    runs = three(
        models,
        lambda: models.ours(input_ids=ids, logits_to_keep=1).logits,
        lambda theirs: theirs(input_ids=torch.from_numpy(ids), logits_to_keep=1).logits,
    )
    return Job(runs, [prefill_stage(tokens, models.config)])


def steps(context: int, batch: int, models: Models) -> Job:
    """A token after `context` others, whose keys and values lie in the cache; `batch` rows at once; STEPS times."""
    our_cache, their_cache = models.ours.new_cache(batch, context + STEPS), DynamicCache()
    for i, array in enumerate((our_cache.keys, our_cache.values)):
        array[...] = np.random.default_rng(i).standard_normal(array.shape, np.float32)
    our_cache.advance(context)
    for layer, both in enumerate(zip(our_cache.keys, our_cache.values, strict=True)):
        their_cache.update(*(torch.from_numpy(array[:, :, :context]) for array in both), layer)
    ids = drawn_ids((batch, 1), models.config)
    torch_ids = torch.from_numpy(ids)

    def ours() -> Any:
        logits = [models.ours(input_ids=ids, past_key_values=our_cache).logits for _ in range(STEPS)]
        our_cache.crop(context)
        return logits[-1]

    def theirs(model: Any) -> Any:
        logits = [model(input_ids=torch_ids, past_key_values=their_cache).logits for _ in range(STEPS)]
        their_cache.crop(-STEPS)
        return logits[-1]

    return Job(three(models, ours, theirs), [step_stage(context + STEPS // 2, batch, models.config)], STEPS)


def answer(models: Models) -> Job:
    """A tile and a question -> ANSWER tokens, greedily."""
    ids, pixels = answer_inputs(models.config)
    options = {"max_new_tokens": ANSWER, "do_sample": False}
    inputs = {"input_ids": torch.from_numpy(ids), "pixel_values": torch.from_numpy(pixels)}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    runs = three(
        models,
        partial(models.ours.generate, ids, pixel_values=pixels, eos_token_id=None, pad_token_id=None, **options),
        lambda theirs: theirs.generate(**inputs, **options),
    )
    prompt = ids.shape[1]
    later = [step_stage(prompt + new, 1, models.config) for new in range(1, ANSWER)]
    return Job(runs, [vision_stage(1, models.config), prefill_stage(prompt, models.config), *later])


def cold(models: Models) -> Job:
    """A process that imports, loads the tiny checkpoint and answers (whatever the shape of `models`)."""
    return Job({program: partial(cold_start, program) for program in (OURS, SDPA)})


JOBS: dict[str, Callable[[Models], Job]] = {
    "picture 4000x3000": partial(picture, "4000x3000"),
    "picture 1280x720": partial(picture, "1280x720"),
    "picture 640x480": partial(picture, "640x480"),
    "tile": partial(tiles, 1),
    "seven tiles": partial(tiles, 7),
    "prefill 300": partial(prefill, 300),
    "prefill 1500": partial(prefill, 1500),
    "prefill 4000": partial(prefill, 4000),
    "step 300": partial(steps, 300, 1),
    "step 300, 8 rows": partial(steps, 300, 8),
    "step 3000": partial(steps, 3000, 1),
    "step 3000, 8 rows": partial(steps, 3000, 8),
    "answer": answer,
    "cold start": cold,
}
"""By the row's name."""
