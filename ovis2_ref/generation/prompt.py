"""The prompts of `generate`: a checked batch, with the mask and the positions that transformers derives."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.model_arguments import cache_batch, checked_array
from ovis2_ref.runtime.arrays import Array, array_module


@dataclass(frozen=True)
class Prompt:
    """A batch of prompts of one length, padded on the left."""

    ids: Int[Array, "batch tokens"]
    """No tokens where only embeddings were given."""
    embeddings: Float[Array, "batch length hidden"] | None
    pixel_values: Float[Array, "tiles channels side side"] | None
    mask: Int[Array, "batch length"]
    """0 at padding, else 1."""
    positions: Int[Array, "batch length"]

    @property
    def length(self) -> int:
        """Tokens that the model reads of each prompt."""
        return self.mask.shape[1]

    @property
    def padding(self) -> Int[Array, " batch"] | None:
        """How many tokens of padding each prompt begins with; None if none has any padding at all."""
        # CuPy's argmax is a long long, which has 64 bits and another name
        return None if bool(self.mask.all()) else (self.mask != 0).argmax(axis=1).astype(np.int64)

    def repeated(self, copies: int, image_token_id: int) -> Self:
        """Return every prompt `copies` times in a row, with its tiles: all tiles of one prompt, then all of its copy."""
        xp = array_module(self.mask)
        tiles = self.pixel_values
        if tiles is not None:
            atoms = (self.ids == image_token_id).sum(axis=1).tolist()
            ends = np.cumsum([0, *atoms]) * len(tiles) // max(sum(atoms), 1)
            tiles = xp.concatenate([tiles[a:b] for a, b in pairwise(ends.tolist()) for _ in range(copies)])
        return replace(
            self,
            ids=xp.repeat(self.ids, copies, axis=0),
            embeddings=None if self.embeddings is None else xp.repeat(self.embeddings, copies, axis=0),
            pixel_values=tiles,
            mask=xp.repeat(self.mask, copies, axis=0),
            positions=xp.repeat(self.positions, copies, axis=0),
        )


def read_prompt(
    model: Any,
    settings: GenerationSettings,
    given: Mapping[str, Any],
    cache: Any | None = None,
) -> Prompt:
    """Return the prompt in the arguments `given` to a call, on the model's device.

    positions = cumsum(mask) - 1, and 0 where the mask is 0 (transformers 5.24; 4.56 puts 1 there, which no token sees).
    Without a mask, padding is where the ids are `pad_token_id`, unless that is an end token, too (transformers' rule).
    Raises `InputError` for shapes that don't fit.
    """
    xp = model.xp
    arrays = {name: checked_array(name, value, xp) for name, value in given.items()}
    ids, embeddings, pixels = arrays["input_ids"], arrays["inputs_embeds"], arrays["pixel_values"]
    if ids is not None:
        ids = ids.astype(np.int64)
    elif embeddings is not None:
        ids = xp.zeros((len(embeddings), 0), dtype=np.int64)
    else:
        raise InputError("generate needs a prompt: give input_ids or inputs_embeds")
    shape = ids.shape if embeddings is None else embeddings.shape[:2]
    if 0 in shape or (ids.shape[1] and ids.shape != shape):
        raise InputError(
            f"a prompt of the shape {shape} can't be continued" + (f"; input_ids: {ids.shape}" if ids.size else "")
        )
    mask = _mask(settings, ids, shape) if arrays["attention_mask"] is None else arrays["attention_mask"]
    if mask.shape != shape:
        raise InputError(f"attention_mask should have the prompt's shape {shape}, not {mask.shape}")
    mask = (mask != 0).astype(np.int64)
    positions = xp.where(mask == 1, xp.cumsum(mask, axis=1) - 1, 0)
    _warn_of_right_padding(settings, mask)
    if cache is not None:
        cache_batch(model, cache)
        seen = cache.get_seq_length()
        if seen >= shape[1]:
            raise InputError(
                f"past_key_values hold {seen} tokens already; give more input_ids than these, not {shape[1]}"
            )
        if not bool((ids[:, seen:] == model.config.image_token_id).any()):
            pixels = None  # the cache has them
    return Prompt(ids, embeddings, pixels, mask, positions)


def _warn_of_right_padding(settings: GenerationSettings, mask: Int[Array, "batch length"]) -> None:
    if len(mask) > 1 and settings.pad_token() is not None and not bool((mask[:, -1] == 1).all()):
        warnings.warn(
            "these prompts are padded on the right, and an answer would follow the padding: pad on the left, with "
            'padding_side="left" in from_pretrained or in the processor\'s call',
            stacklevel=4,
        )


def _mask(settings: GenerationSettings, ids: Int[Array, "batch tokens"], shape: tuple[int, ...]) -> Array:
    pad = settings.pad_token()
    if ids.shape[1] == 0 or pad is None or pad in settings.eos_tokens():
        return array_module(ids).ones(shape, dtype=np.int64)
    return ids != pad
