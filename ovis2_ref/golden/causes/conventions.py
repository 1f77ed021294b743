"""Differences of the authors' program from transformers' (`ovis2_ref/convention.py`): no mistakes, but found like them."""

import numpy as np
from jaxtyping import Int

from ovis2_ref.convention import ORIGINAL
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_image import grid_of, images_of, values_of_original
from ovis2_ref.golden.formulas_language import merged_embeddings, text_rows, token_mask
from ovis2_ref.golden.stages import Reference
from ovis2_ref.image.tiling import covering_grid
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, ORIGINAL_IDS, original_token_ids

SOURCE = "https://github.com/AIDC-AI/Ovis/tree/v2.0"
PLACEHOLDERS = "placeholders are negative ids, one atom for each tile"
PLACEHOLDERS_LOOK = (
    "the ids of pictures: the authors take -300 for a whole tile and -301 to -305 for indicators, and tokenise the text between "
    "pictures apart; transformers takes special tokens, an atom for each visual token"
)


def authors_ids(m: Reference, w: Weights, *grids: Array) -> Int[Array, "1 tokens"]:
    """Return the ids of the prompt as the authors' code makes them."""
    pairs = [(int(rows), int(columns)) for rows, columns in grids]
    return np.array(original_token_ids([m.prompt or ""], pairs, m.processor.tokenizer.encode)[0])[None]


def spelled_ids(m: Reference, ids: Int[Array, "1 tokens"]) -> Int[Array, "1 all_tokens"]:
    """Return the authors' ids with an atom for each visual token, and in the ids of the configuration."""
    own = dict(zip(INDICATORS, m.config.visual_indicator_token_ids, strict=True)) | {
        IMAGE_ATOM: m.config.image_token_id
    }
    names = {token_id: name for name, token_id in ORIGINAL_IDS.items()}
    spelled = []
    for token_id in ids[0].tolist():
        name = names.get(token_id)
        times = m.config.vision_config.tokens_per_tile if name == IMAGE_ATOM else 1
        spelled += [token_id if name is None else own[name]] * times
    return np.array([spelled])


def merged_by_authors_ids(m: Reference, w: Weights, ids: Array, visual: Array) -> Array:
    """Return the embeddings where the ids are the authors'."""
    spelled = spelled_ids(m, ids)
    return merged_embeddings(m, w, spelled, text_rows(m, w, spelled), visual)


def grid_of_nine(m: Reference, w: Weights, picture: Array) -> Int[Array, "2"]:
    """Return the grid of 9 tiles at most, rows and columns as they should be."""
    height, width = picture.shape[1:]
    images = images_of(m)
    return np.array(covering_grid(height, width, images.tile_size[0], ORIGINAL.max_tiles, images.covering_threshold))


CONVENTIONS: tuple[Cause, ...] = (
    Cause(
        "no norm after the vision transformer",
        ("*.transformer.rms_norm.output",),
        lambda m, w, x: x,
        "the features: the authors take the last block's output, before post_trunk_norm; transformers applies the norm",
        "https://github.com/vllm-project/vllm/pull/15826",
    ),
    Cause(
        "grid transposed",
        ("image.grid",),
        lambda m, w, picture: np.flip(grid_of(m, w, picture)),
        "the covering search returns (rows, columns); transformers unpacks it as (columns, rows)",
        SOURCE,
    ),
    Cause(
        "grid of at most 9 tiles, not transposed",
        ("image.grid",),
        grid_of_nine,
        "max_partition is 9 in the authors' code, max_patches 12 in transformers",
        SOURCE,
    ),
    Cause(
        "tiles cut before resizing",
        ("pixel_values",),
        values_of_original,
        "the authors cut the full picture and resize each part with its aspect ratio kept, padded with 0 after normalising; "
        "transformers resizes the whole picture to the canvas, and cuts that",
        SOURCE,
        ("each picture", "each grid"),
    ),
    Cause(PLACEHOLDERS, ("input_ids",), authors_ids, PLACEHOLDERS_LOOK, SOURCE, ("each grid",), True),
    Cause(
        PLACEHOLDERS,
        ("attention_mask",),
        lambda m, w, ids: token_mask(m, w, spelled_ids(m, ids)),
        PLACEHOLDERS_LOOK,
        SOURCE,
        prompt_only=True,
    ),
    Cause(
        PLACEHOLDERS,
        ("model.language_model.inputs_embeds",),
        merged_by_authors_ids,
        PLACEHOLDERS_LOOK,
        SOURCE,
        ("/input_ids", "/model.visual_embeddings_table.output"),
        True,
    ),
)
