"""Merge pictures and text: tiles become visual embeddings, which replace the placeholders among the text embeddings.

ids -> rows of the text table; <IMG_ATOM> -> visual embeddings; <IMG_START> ... <IMG_END> -> the table's last rows
"""

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import is_whole, whole
from ovis2_ref.runtime.arrays import Array, array_module, to_device
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.encoder import vision_transformer
from ovis2_ref.vision.visual_tokenizer import gumbel_noise, indicator_embeddings, merge_patches, visual_embeddings


def image_features(
    pixel_values: Float[Array, "tiles channels side side"],
    w: Weights,
    config: Ovis2Config,
    convention: Convention,
    noise: Array | int | None = 0,
) -> tuple[
    Float[Array, "tiles tokens merged_hidden"], Float[Array, "tiles tokens hidden"], Float[Array, "indicators hidden"]
]:
    """Tiles -> ViT features -> merged patches -> visual tokens -> visual embeddings. Return the merged patches, the visual
    embeddings, and the embeddings of the indicators.

    `w` is the whole model. `noise` is for tokenize_function="gumbel_argmax" alone: standard Gumbel noise (tiles, tokens, words),
    or the seed of a NumPy generator that draws it. Raises `InputError` for noise of another shape.
    """
    vision, tower, table = config.vision_config, w / "model" / "vision_tower", w / "model" / "visual_embeddings_table"
    features = vision_transformer(pixel_values, tower / "transformer", vision, convention)
    merged = merge_patches(features, vision.hidden_stride)
    if is_whole(noise):
        shape = (*merged.shape[:2], vision.vocab_size - vision.num_visual_indicator_tokens)
        noise = gumbel_noise(shape, whole("noise", noise)) if vision.tokenize_function == "gumbel_argmax" else None
    if noise is not None:
        noise = to_device(noise, array_module(merged)).astype(merged.dtype, copy=False)
    embeddings = visual_embeddings(merged, tower, table, vision, convention, noise)
    return merged, embeddings, indicator_embeddings(table["weight"], vision)


def atom_places(
    ids: Int[Array, "batch tokens"], visual: Float[Array, "tiles visual_tokens hidden"], config: Ovis2Config
) -> tuple[Int[Array, " atoms"], Int[Array, " atoms"]]:
    """Return row and column of every place in the prompt where a visual token goes, in reading order.

    Raises `InputError` if there are not as many of them as visual tokens.
    """
    rows, columns = np.nonzero(ids == config.image_token_id)
    tokens = visual.shape[0] * visual.shape[1]
    if len(rows) != tokens:
        raise InputError(
            f"the prompt has {len(rows)} image tokens and the pictures {tokens} visual tokens; "
            "make both with one processor call, from the same pictures"
        )
    return rows, columns


def merge_embeddings(
    ids: Int[Array, "batch tokens"],
    embeddings: Float[Array, "batch tokens hidden"],
    visual: Float[Array, "tiles visual_tokens hidden"],
    indicators: Float[Array, "indicators hidden"],
    config: Ovis2Config,
) -> Float[Array, "batch tokens hidden"]:
    """Return the text embeddings with each image token replaced by the next visual embedding, each indicator by its own row."""
    merged = embeddings.copy()
    merged[atom_places(ids, visual, config)] = visual.reshape(-1, visual.shape[-1])
    for indicator, row in zip(config.visual_indicator_token_ids, indicators, strict=True):
        merged[np.nonzero(ids == indicator)] = row
    return merged
