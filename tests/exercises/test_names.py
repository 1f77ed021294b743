"""Common mistakes get their name, and none gets another's; two mistakes in one answer are both named."""

import random
import textwrap
from itertools import combinations

import pytest

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import check
from tests.exercises.common_mistakes import COMMON

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
NAMES: dict[str, dict[str, str]] = {
    "covering_area": {
        "upscales small regions": "small regions enlarged",
        "factor used once": "one edge shrunk",
        "shorter edge": "the shorter edge decides",
        "each edge by itself": "each edge clipped on its own",
        "whole pixels": "whole pixels",
    },
    "cubic": {
        "no abs": "one side only",
        "OpenCV's a": "a = -3/4",
        "a positive": "a = +1/2",
        "no zero beyond": "no end",
    },
    "rms_norm": {
        "no keepdims": "broadcasting by accident",
        "mean of everything": "one mean for all tokens",
        "layer norm": "mean subtracted",
        "eps outside": "epsilon outside the root",
        "sum, not mean": "sum for mean",
        "no weight": "weight forgotten",
        "first axis": "wrong axis",
        "no square root": "root forgotten",
    },
    "softmax": {
        "axis 0 twice": "along the first axis",
        "no keepdims twice": "no keepdims",
        "no maximum": "overflow",
        "everything": "one sum for everything and the maximum of everything",
    },
    "layer_norm": {
        "mean of squares as variance": "mean(x^2) for the variance",
        "eps outside": "epsilon outside the root",
        "sample variance": "n - 1 for n",
        "divided by the variance": "root forgotten",
        "no keepdims": "no keepdims, by var",
        "weight times all": "bias before weight",
        "no bias": "bias dropped",
    },
    "pixel_values": {
        "channels last": "a mean for each column",
        "float64": "float64 by accident",
        "factor after": "rescaled after normalising",
        "multiplied by std": "multiplied by the deviation",
    },
    "split_regions": {
        "no rest": "the rest dropped",
        "upper before left": "upper before left",
        "column by column": "column by column",
        "width and height": "width and height for right and lower",
    },
    "choose_grid": {
        "best always": "the first that keeps most",
        "at least": "the threshold is enough",
        "first that keeps enough": "the first that keeps enough",
        "no grid keeps enough: one tile": "one tile where none keeps enough",
    },
    "swiglu": {
        "gate and up exchanged": "the other one activated",
        "sigmoid only": "sigmoid for SiLU",
        "silu of the product": "activated after the product",
        "sign of the exponent": "sign of the exponent",
        "added": "added",
    },
    "visual_tokens": {
        "softmax over tokens": "over the tokens",
        "no layer norm": "no norm",
        "no softmax": "logits",
        "eps of RMSNorm": "another epsilon",
    },
    "expected_embedding": {
        "argmax": "the likeliest word's row",
        "last rows": "the last rows",
        "normalised again": "divided by the number of words",
    },
    "scaled_attention": {
        "no scale": "no scaling",
        "softmax over queries": "over the queries",
        "scaled by the values' width": "the width of the values",
        "scaled by the width": "scaled without the root",
        "multiplied by the root": "multiplied by the root",
        "overflow": "overflow",
    },
    "fixed_point": {
        "NumPy's round": "halves to even",
        "floor": "halves up",
        "cut": "truncated",
        "not divided": "not scaled back",
    },
    "resize_pass": {
        "no clip": "not clipped",
        "no half": "truncated",
        "half to even": "halves to even",
        "clipped at 256": "clipped at 256",
        "floats": "left as floats",
    },
    "image_layout": {
        "column after every tile": "a column mark after every tile",
        "row after every row": "a row mark after every row",
        "1 x 1 with a tile": "a single tile repeated",
        "one atom": "one atom for a tile",
    },
    "split_heads": {
        "reshape only": "a reshape alone",
        "not transposed": "not exchanged",
        "interleaved": "interleaved heads",
    },
    "cut_tiles": {
        "thumbnail last": "thumbnail last",
        "thumbnail always": "always a thumbnail",
        "column by column": "column by column",
    },
    "patches": {
        "channels last": "channels last",
        "reshape only": "a reshape alone",
        "cropped at the centre": "cropped at the centre",
        "columns first": "column by column",
    },
    "merge_patches": {
        "neighbours in the row": "a reshape alone",
        "features first": "features interleaved",
        "columns inside the square": "column by column inside",
    },
    "merge_embeddings": {
        "into the argument": "written into the text",
        "row = id - min(ids)": "row = id - lowest id",
        "no indicators": "no indicators",
        "first tile everywhere": "every prompt starts with the first tile",
    },
    "sliding_window": {
        "no offset": "earlier calls forgotten",
        "window one too wide": "a window of one more",
        "not itself": "itself not seen",
        "window forgotten": "no window",
        "both ways": "the window alone",
    },
    "causal_mask": {
        "-1e9": "-1e9",
        "two lowest numbers added": "two lowest numbers added",
        "-infinity": "-infinity",
        "no padding": "padding seen",
        "no offset": "earlier calls forgotten",
    },
    "rotary_tables": {
        "2 forgotten": "i for 2 i",
        "sign of the exponent": "sign of the exponent",
        "sin, cos": "cos and sin exchanged",
        "whole head": "every column twice",
    },
    "rotate": {
        "neighbours paired": "neighbours paired",
        "sign": "turned backwards",
        "overwritten a": "a turned twice",
    },
    "grouped_query_attention": {
        "tiled heads": "tiled for repeated",
        "mask forgotten": "no mask",
        "heads not moved": "heads not brought together",
        "mask before the scale": "right",
        "softmax over queries": "over the queries",
    },
    "greedy": {
        "end left out": "the end left out",
        "prompt returned": "the prompt returned, too",
        "prompt changed": "the prompt grows",
        "only the last token": "only the last token asked about",
        "never ends": "no stop at the end",
    },
    "repetition_penalty": {
        "always divided": "divided always",
        "for every time": "once for every occurrence",
        "rows together": "the rows mixed",
        "subtracted": "subtracted",
    },
    "draw_token": {
        "argmax of the first above": "argmax where no edge lies above u",
        "multiplied": "temperature multiplied",
        "likeliest": "the likeliest",
        "left edge": "the piece's end belongs to it",
        "no temperature": "no temperature",
    },
    "top_p": {
        "the crossing token dropped": "the token that reaches p left out",
        "nothing where the first is enough": "the token that reaches p left out and the likeliest may go",
        "left sorted": "not put back and the likeliest may go",
        "above p by itself": "tokens of p or more each",
        "zeros": "0 for -infinity and the likeliest may go",
    },
    "update_cache": {
        "keeps what lay behind the length": "what lay behind the length kept",
        "written into store": "written into the store and what lay behind the length kept",
        "doubled once": "doubled once",
        "grows to what is needed": "just as large as needed",
        "new keys alone": "only the new keys seen",
    },
    "resize_matrix": {
        "no half pixel": "no half pixels",
        "no antialias": "no antialias",
        "not normalised": "rows not normalised",
        "stretched when it grows": "stretched when enlarging",
    },
    "round_to_bfloat16": {
        "cut": "truncated",
        "half up": "halves up",
        "no NaN": "NaN lost",
        "through float16": "float16",
    },
    "beam_search": {
        "score not divided by length": "not divided by the length",
        "only as many candidates as beams": "too few candidates",
        "running beams forgotten at the end": "the beams forgotten at the end",
        "prompt in the length": "divided by the whole length",
    },
    "dequantize": {
        "z - 1 as in the first version": "zero points off by one",
        "groups of neighbours": "group index ignored",
        "words one after another": "packed along the other axis",
        "left as (in, out)": "not transposed",
    },
}
"""Exercise -> mistake in `COMMON` -> the names that it gets, read and found true one by one.

A mask of very low numbers is as low after a division by sqrt(head_dim), so that one is right.
"""


@pytest.mark.parametrize("name", COMMON)
def test_common_mistakes_are_named(name):
    """Each fails, and gets its names."""
    exercise = BY_NAME[name]
    head, _ = exercise._head_and_body
    for what, body in COMMON[name].items():
        failure = check(exercise, exercise.compiled(head + textwrap.indent(textwrap.dedent(body), "    ")))
        names = " and ".join(mistake.name for mistake in failure.known) if failure else "right"
        assert names == NAMES[name][what]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_two_mistakes_together_are_named(exercise):
    """Or one of them where it hides the other, or others that do the same together; several may be in one line."""
    pairs = list(combinations(exercise.wrong, 2))
    random.Random(0).shuffle(pairs)
    made = 0
    for pair in pairs:
        try:
            function = exercise.variant(*pair)
        except (ValueError, SyntaxError):
            continue  # they change the same letters
        failure = check(exercise, function)
        made += 1
        assert failure is None or failure.known
        if made == 8:
            break
    assert made
