"""Mistakes in the prompt, in positions, in the mask of tokens and in the cache: what the language model is given."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from ovis2_ref.checkpoint.names import VISUAL_EMBEDDINGS
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_image import token_ids
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

IDS, MASK, POSITIONS = ("input_ids",), ("attention_mask",), ("position_ids",)
MERGED, LOGITS = ("*.language_model.inputs_embeds",), ("lm_head.output",)
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
ASSISTANT = "<|im_start|>assistant\n"
LLAMA_OVIS = "https://github.com/ggml-org/llama.cpp/issues/14552"
INTERNVL = "https://github.com/ggml-org/llama.cpp/issues/17577"


def with_prompt(change: Callable[[str], str]) -> Callable[..., Array]:
    """Return the ids of a changed prompt."""
    return lambda m, w, *grids: token_ids(replace(m, prompt=change(m.prompt or "")), w, *grids)


def without(*indicators: int) -> Callable[..., Array]:
    """Return the ids without some indicators: 0 start, 1 grid, 2 column, 3 row, 4 end."""

    def compute(m: Reference, w: Weights, ids: Array, *grids: Array) -> Array:
        return ids[~np.isin(ids, [m.config.visual_indicator_token_ids[i] for i in indicators])][None]

    return compute


def exchanged(first: int, second: int) -> Callable[..., Array]:
    """Return the ids with two indicators in each other's place."""

    def compute(m: Reference, w: Weights, ids: Array, *grids: Array) -> Array:
        a, b = (m.config.visual_indicator_token_ids[i] for i in (first, second))
        return np.where(ids == a, b, np.where(ids == b, a, ids))

    return compute


def rows_ended(m: Reference, w: Weights, ids: Array, *grids: Array) -> Int[Array, "1 tokens"]:
    """Return the ids with a row indicator after the last row of tiles, too."""
    _, grid, _, row, end = m.config.visual_indicator_token_ids
    changed: list[int] = []
    for token in ids[0].tolist():
        if token == end and changed[-1] != grid:
            changed.append(row)
        changed.append(token)
    return np.array([changed])


def atoms_before(m: Reference, ids: Array) -> Array:
    """Return the number of visual tokens before each token."""
    atoms = ids == m.config.image_token_id
    return np.cumsum(atoms, axis=1) - atoms


def overwritten(m: Reference, w: Weights, ids: Array, text: Array, visual: Array) -> Array:
    """Return merged embeddings with every visual token one place too late."""
    table = m.weights[VISUAL_EMBEDDINGS]
    first = m.config.vision_config.vocab_size - m.config.vision_config.num_visual_indicator_tokens
    y = text.copy()
    for i, indicator in enumerate(m.config.visual_indicator_token_ids):
        y[ids == indicator] = table[first + i]
    late = np.roll(ids == m.config.image_token_id, 1, axis=1)
    y[late] = visual.reshape(-1, visual.shape[-1])[: int(late.sum())]
    return y


def pictures_last(text: str) -> str:
    """Return a prompt of one message with its pictures after the text."""
    count = text.count("<image>\n")
    head, end, tail = text.replace("<image>\n", "").rpartition("<|im_end|>")
    return head + "<image>\n" * count + end + tail


TEMPLATES: dict[str, tuple[Callable[[str], str], str]] = {
    "prompt: system message missing": (lambda text: text.removeprefix(SYSTEM), "the first lines of the chat template"),
    "prompt: assistant's line missing": (lambda text: text.removesuffix(ASSISTANT), "add_generation_prompt=True"),
    "prompt: no newline after a picture": (
        lambda text: text.replace("<image>\n", "<image>"),
        "the template puts a newline after <image>",
    ),
    "prompt: pictures after the question": (
        pictures_last,
        "pictures stand before the text of their message",
    ),
    "prompt: space in front": (lambda text: " " + text, "the tokenizer adds no space, as SentencePiece does"),
    "prompt: newline at the end missing": (lambda text: text.removesuffix("\n"), "a newline ends the assistant's line"),
    "prompt: newline after a message missing": (
        lambda text: text.replace("<|im_end|>\n", "<|im_end|>"),
        "a newline follows <|im_end|>",
    ),
}


PROMPT_CAUSES: tuple[Cause, ...] = (
    *(Cause(name, IDS, with_prompt(change), look, prompt_only=True) for name, (change, look) in TEMPLATES.items()),
    *(
        Cause(name, IDS, compute, look, thread, prompt_only=True, of_result=True)
        for name, compute, look, thread in (
            ("layout: start and end of a picture missing", without(0, 4), "<IMG_START> and <IMG_END>", INTERNVL),
            ("layout: column indicators missing", without(2), "<IMG_COL> between the tiles of a row", LLAMA_OVIS),
            ("layout: row indicators missing", without(3), "<IMG_ROW> between rows of tiles", LLAMA_OVIS),
            ("layout: grid indicator missing", without(1), "<IMG_GRID> after the first tile", LLAMA_OVIS),
            ("layout: no indicators", without(0, 1, 2, 3, 4), "the indicators around the tiles", LLAMA_OVIS),
            ("layout: row and column indicators exchanged", exchanged(2, 3), "<IMG_COL> inside a row", ""),
            ("layout: row indicator after the last row, too", rows_ended, "<IMG_ROW> stands between rows", ""),
        )
    ),
    Cause(
        "attention mask: 0 on visual tokens",
        MASK,
        lambda m, w, mask, ids: mask * (ids != m.config.image_token_id),
        "attention_mask is 0 on padding alone",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "attention mask: 1 on padding",
        MASK,
        lambda m, w, ids: np.ones_like(ids),
        "attention_mask is 0 on padding",
        prompt_only=True,
    ),
    Cause(
        "positions: padding counted",
        POSITIONS,
        lambda m, w, mask: np.broadcast_to(np.arange(mask.shape[1]), mask.shape),
        "a row's positions count from its first token that is no padding",
        prompt_only=True,
    ),
    Cause(
        "positions: a picture counts as one token",
        POSITIONS,
        lambda m, w, y, mask, ids: y - np.maximum(atoms_before(m, ids) - 1, 0),
        "every visual token has a position of its own",
        inputs=("/input_ids",),
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "positions: visual tokens not counted",
        POSITIONS,
        lambda m, w, y, mask, ids: y - atoms_before(m, ids),
        "every visual token has a position of its own",
        inputs=("/input_ids",),
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "positions: all of the prompt's are 0",
        POSITIONS,
        lambda m, w, y, *_: 0 * y,
        "position_ids",
        prompt_only=True,
        of_result=True,
    ),
    *(
        Cause(
            f"rotary: a step's position one too {word}",
            POSITIONS,
            lambda m, w, y, *_, shift=shift: y + shift * (y.shape[1] == 1),
            "a new token's position is the count of the tokens before it",
            of_result=True,
            recorded_only=True,
        )
        for word, shift in (("low", -1), ("high", 1))
    ),
    Cause(
        "visual tokens: left out",
        MERGED,
        lambda m, w, y, ids, text, visual: np.where((ids == m.config.image_token_id)[..., None], text, y),
        "visual embeddings take the place of the atoms' own",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "visual tokens: added to the atoms' embeddings",
        MERGED,
        lambda m, w, y, ids, text, visual: np.where((ids == m.config.image_token_id)[..., None], y + text, y),
        "visual embeddings take the place of the atoms' own",
        prompt_only=True,
        of_result=True,
    ),
    Cause(
        "visual tokens: one place too late",
        MERGED,
        overwritten,
        "the first visual token follows <IMG_START>",
        prompt_only=True,
    ),
)
