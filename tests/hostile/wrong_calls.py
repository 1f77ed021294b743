"""Wrong calls of the Python interface, drawn from a seed: each argument right, or wrong in one of the ways that people find."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2ImageProcessor, Ovis2ImageProcessorFast

MODEL = Ovis2ForConditionalGeneration.from_pretrained(TINY)
TEXT, VISION = MODEL.config.text_config, MODEL.config.vision_config

ANYTHING: list[Any] = [
    None, True, False, -1, 0, 1, 2, 2**31, 2**63, 10**400, -0.5, 0.5, float("nan"), float("inf"), "", "cpu", b"x", "\ud800",
    [], {},
    (), [[]], [[1], [2, 3]], [None], ["a"], {"a": 1}, object(), int, lambda *_: None, {1, 2}, range(3), slice(2), 1j, np.nan,
    np.array(3),     np.zeros(0), np.zeros((0, 0), int), np.array(["a"]),
    np.array([None]), np.ones((2, 2), complex), np.ones((1, 2, 3, 4, 5)),
]  # fmt: skip


def ids(chance: random.Random) -> Any:
    """Return tokens, right or wrong: lists, floats, other shapes, ids outside the vocabulary, placeholders without pictures."""
    batch, tokens = chance.choice([1, 1, 2, 3]), chance.choice([1, 2, 4, 0])
    low, high = chance.choice(
        [(0, 20), (0, TEXT.vocab_size), (-5, 5), (TEXT.vocab_size - 2, TEXT.vocab_size + 2), (2**62, 2**63 - 1)]
    )
    values = np.random.default_rng(chance.randrange(100)).integers(low, high, (batch, tokens))
    return chance.choice(
        [
            lambda v: v,
            lambda v: v.tolist(),
            lambda v: v.astype(np.float32),
            lambda v: v[0] if len(v) else v,
            lambda v: v[None],
        ]
    )(values)


def floats(chance: random.Random, *shape: int) -> Any:
    """Return an array of about that shape, of any numbers."""
    shape = tuple(max(0, edge + chance.choice([0, 0, 0, 0, 1, -1])) for edge in shape)
    values = np.random.default_rng(chance.randrange(100)).standard_normal(shape)
    kind = chance.choice(["float32", "float32", "float64", "float16", "int64", "bool", "object", "complex64"])
    return values.astype(kind)


def argument(name: str, chance: random.Random) -> Any:
    """Return a value for the argument called `name`."""
    if chance.random() < 0.25:
        return chance.choice(ANYTHING)
    side = VISION.image_size
    return {
        "input_ids": lambda: ids(chance),
        "labels": lambda: ids(chance),
        "position_ids": lambda: ids(chance),
        "attention_mask": lambda: floats(chance, 1, 4) > 0,
        "inputs_embeds": lambda: floats(chance, 1, 4, TEXT.hidden_size),
        "pixel_values": lambda: floats(chance, 1, 3, side, side),
        "past_key_values": lambda: MODEL(np.ones((chance.choice([1, 1, 2]), 3), int)).past_key_values,
        "logits_to_keep": lambda: chance.choice([0, 1, 9, [0, 1], [9], np.array([-1]), np.array([[0]])]),
        "picture": lambda: picture(chance),
    }.get(name, lambda: chance.choice([True, False, 1, 0, 3, 0.5, [1], [[1, 2]]]))()


def picture(chance: random.Random) -> Any:
    """Return an array that is a picture, or nearly."""
    shape = chance.choice(
        [(4, 5, 3), (3, 4, 5), (4, 5), (4, 5, 4), (4, 5, 2), (3, 4, 3), (2, 4, 5, 3), (0, 4, 3), (5,), (1, 1, 1)]
    )
    values = np.random.default_rng(chance.randrange(100)).uniform(
        *chance.choice([(0, 1), (0, 255), (-3, 300), (0, 1e30)]), shape
    )
    values.flat[:1] = chance.choice([0, 0, 0, np.nan, np.inf, -1e300])
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(
            chance.choice(
                [
                    "uint8",
                    "uint8",
                    "float32",
                    "float64",
                    "float16",
                    "int64",
                    "int8",
                    "uint16",
                    "bool",
                    "complex64",
                    "object",
                    "datetime64[s]",
                ]
            )
        )


FORWARD = (
    "input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "labels", "use_cache",
    "output_attentions", "output_hidden_states", "logits_to_keep", "return_dict",
)  # fmt: skip
GENERATE = (
    "input_ids", "attention_mask", "pixel_values", "inputs_embeds", "do_sample", "num_beams", "num_return_sequences",
    "top_k", "top_p",     "temperature", "min_p", "typical_p", "repetition_penalty", "length_penalty",
    "no_repeat_ngram_size", "bad_words_ids",
    "sequence_bias", "suppress_tokens", "forced_eos_token_id", "exponential_decay_length_penalty", "eos_token_id", "pad_token_id",
    "early_stopping", "cache_implementation", "use_cache", "generator", "streamer", "max_length", "min_length", "min_new_tokens",
    "past_key_values", "generation_config", "logits_processor", "stopping_criteria", "stop_strings", "max_time", "output_scores",
    "return_dict_in_generate", "prefix_allowed_tokens_fn", "tokenizer",
)  # fmt: skip
IMAGE = (
    "size", "crop_size", "resample", "do_resize", "do_center_crop", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "do_convert_rgb", "crop_to_patches", "min_patches", "max_patches", "use_covering_area_grid",
    "covering_threshold",     "data_format", "input_data_format", "pillow", "return_tensors",
)  # fmt: skip


def wrong_call(seed: int) -> Callable[[], Any]:
    """Return the call of that seed: of `forward`, `generate` or an image processor, with some arguments."""
    chance = random.Random(seed)
    kind = chance.choice(["forward", "forward", "generate", "picture"])
    names = {"forward": FORWARD, "generate": GENERATE, "picture": IMAGE}[kind]
    chosen = chance.sample(names, chance.randrange(0 if kind == "picture" else 1, 4))
    given = {name: argument(name, chance) for name in chosen}
    if kind != "picture" and chance.random() < 0.8 and not {"input_ids", "inputs_embeds"} & set(given):
        given["input_ids"] = np.array([[3, 5, 7, 9]])
    if kind == "forward":
        return lambda: MODEL(**given)
    if kind == "generate":
        return lambda: MODEL.generate(**{"max_new_tokens": 3, **given})
    processor = chance.choice([Ovis2ImageProcessor, Ovis2ImageProcessorFast])
    shown = argument("picture", chance)
    return lambda: processor(size=chance.choice([4, 16]))(shown, **given)
