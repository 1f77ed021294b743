"""Mistakes before and after the layers of the language model: embeddings and logits."""

from collections.abc import Callable

import numpy as np

from ovis2_ref.checkpoint.names import EMBEDDINGS, VISUAL_EMBEDDINGS
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

MERGED, LOGITS = ("*.language_model.inputs_embeds",), ("lm_head.output",)


def indicators_of(rows: Callable[[Reference], Array]) -> Callable[..., Array]:
    """Return the formula of the merged embeddings with other rows at the indicators."""

    def compute(m: Reference, w: Weights, y: Array, ids: Array, *_: Array) -> Array:
        changed = y.copy()
        for indicator, row in zip(m.config.visual_indicator_token_ids, rows(m), strict=True):
            changed[ids == indicator] = row
        return changed

    return compute


def last_rows(m: Reference) -> Array:
    """Return the indicators' rows of the visual table."""
    vision = m.config.vision_config
    return m.weights[VISUAL_EMBEDDINGS][vision.vocab_size - vision.num_visual_indicator_tokens :]


def text_rows_of(m: Reference) -> Array:
    """Return the indicators' rows of the text table."""
    return m.weights[EMBEDDINGS][np.maximum(m.config.visual_indicator_token_ids, 0)]


def atoms_as(order: Callable[[Array, tuple[int, ...]], Array]) -> Callable[..., Array]:
    """Return the formula of the merged embeddings with the visual ones in another order: order(rows, shape of the tiles)."""

    def compute(m: Reference, w: Weights, y: Array, ids: Array, text: Array, visual: Array) -> Array:
        changed, atoms = y.copy(), ids == m.config.image_token_id
        changed[atoms] = order(visual.reshape(-1, visual.shape[-1]), visual.shape)[: int(atoms.sum())]
        return changed

    return compute


def column_by_column(rows: Array, shape: tuple[int, ...]) -> Array:
    side = round(shape[1] ** 0.5)
    return rows.reshape(shape[0], side, side, -1).swapaxes(1, 2).reshape(rows.shape)


TEXT_CAUSES: tuple[Cause, ...] = (
    Cause(
        "embeddings: times the root of the width",
        ("*.embed_tokens.output",),
        lambda m, w, y, *_: y * y.shape[-1] ** 0.5,
        "Qwen2 doesn't scale its embeddings, as Gemma does",
        of_result=True,
    ),
    Cause(
        "indicators: rows of the text table",
        MERGED,
        indicators_of(text_rows_of),
        "the indicators are the last rows of the visual table",
        "https://github.com/ggml-org/llama.cpp/issues/14552",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "indicators: in reverse order",
        MERGED,
        indicators_of(lambda m: last_rows(m)[::-1]),
        "start, grid, column, row, end",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "visual tokens: shifted by one place",
        MERGED,
        atoms_as(lambda rows, shape: np.roll(rows, 1, axis=0)),
        "the first atom gets the first visual token",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "visual tokens: a tile's tokens column by column",
        MERGED,
        atoms_as(lambda rows, shape: column_by_column(rows, shape)),
        "a tile's tokens are in reading order",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "visual tokens: tiles in reverse order",
        MERGED,
        atoms_as(lambda rows, shape: rows.reshape(shape)[::-1].reshape(rows.shape)),
        "the thumbnail, then the tiles in reading order",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "logits: times the root of the width",
        LOGITS,
        lambda m, w, y, *_: y * m.config.hidden_size**0.5,
        "lm_head",
        of_result=True,
    ),
    Cause(
        "logits: soft cap of 30",
        LOGITS,
        lambda m, w, y, *_: 30 * np.tanh(y / 30),
        "Qwen2 has no soft cap, as Gemma 2 has",
        of_result=True,
    ),
    Cause(
        "logits: of the token before",
        LOGITS,
        lambda m, w, y, *_: np.roll(y, 1, axis=1),
        "the last token's logits",
        of_result=True,
    ),
    Cause(
        "logits: tied head forgotten, all 0",
        LOGITS,
        lambda m, w, y, *_: 0 * y,
        "tie_word_embeddings: the head is the text table",
        "https://github.com/vllm-project/vllm/pull/15826",
        of_result=True,
    ),
    Cause(
        "logits: log-probabilities",
        LOGITS,
        lambda m, w, y, *_: (
            y - np.log(np.exp(y - y.max(-1, keepdims=True)).sum(-1, keepdims=True)) - y.max(-1, keepdims=True)
        ),
        "scores before the softmax",
        of_result=True,
    ),
)
