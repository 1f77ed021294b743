"""Every clause of every task's text has a case: no change of an argument goes unnoticed, but for those with a reason."""

import pytest

from ovis2_ref.exercises.catalogue import EXERCISES
from tests.exercises.inputs import unexercised, unseen

SHIFT = "a number added to all divides out or is subtracted again"
DOMAIN = "no input of the task is there"
UNNOTICED: dict[str, dict[str, str]] = {
    "cubic": {"x: absolute": "the filter is symmetric"},
    "softmax": {"x: one more": SHIFT},
    "layer_norm": {"x: one more": SHIFT},
    "pixel_values": {
        **dict.fromkeys(("levels: absolute", "mean: absolute", "std: absolute"), DOMAIN),
        **dict.fromkeys(("mean: at most 1", "mean: at least -1", "std: at most 1", "std: at least -1"), DOMAIN),
    },
    "visual_tokens": {"head: one more": SHIFT, "norm_bias: one more": SHIFT},
    "expected_embedding": dict.fromkeys(("tokens: absolute", "tokens: at most 1", "tokens: at least -1"), DOMAIN),
    "scaled_attention": {"k: one more": SHIFT},
    "resize_pass": {"picture: absolute": DOMAIN},
    "cut_tiles": {"canvas: absolute": DOMAIN, "thumbnail: absolute": DOMAIN},
    "merge_embeddings": {"ids: absolute": DOMAIN, "ids: at least -1": DOMAIN},
    "causal_mask": dict.fromkeys(
        ("attention_mask: absolute", "attention_mask: at most 1", "attention_mask: at least -1"), DOMAIN
    ),
    "rotary_tables": {"positions: absolute": DOMAIN, "positions: at least -1": DOMAIN},
    "rotate": dict.fromkeys(("cos: at most 1", "cos: at least -1", "sin: at most 1", "sin: at least -1"), DOMAIN),
    "grouped_query_attention": {
        "k: one more": SHIFT,
        "mask: one more": SHIFT,
        "mask: no fractions": DOMAIN,
        "mask: at most 1": DOMAIN,
    },
    "repetition_penalty": {
        **dict.fromkeys(("ids: absolute", "ids: at least -1"), DOMAIN),
        **dict.fromkeys(
            ("ids: axis -1 rolled", "ids: axis -1 flipped", "ids: axis -1: sorted"), "only which tokens occur counts"
        ),
    },
    "draw_token": {
        "logits: one more": SHIFT,
        **dict.fromkeys(("uniform: absolute", "uniform: at most 1", "uniform: at least -1"), DOMAIN),
    },
    "dequantize": {
        **dict.fromkeys(("g_idx: absolute", "g_idx: at least -1"), DOMAIN),
        **dict.fromkeys(("scales: absolute", "scales: at most 1", "scales: at least -1"), DOMAIN),
        **dict.fromkeys(
            (f"bits: axis {axis}" for axis in ("-1 of qweight", "-2 of qzeros", "-1 of scales", "-2 of scales")),
            "such a length is `bits` itself, or doesn't fit",
        ),
    },
}
"""Exercise -> a change of its inputs that alters no result -> why that is as it should be."""


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_every_change_of_the_inputs_is_noticed(exercise):
    """In some case; and what the result doesn't depend on isn't 0 everywhere."""
    assert sorted(unexercised(exercise)) == sorted(UNNOTICED.get(exercise.name, {}))
    assert unseen(exercise) == []
