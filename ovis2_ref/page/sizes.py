"""The sizes and names that every page shows."""

from pathlib import Path
from typing import Any

from ovis2_ref.config import Ovis2Config
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.tiny import TINY


def model_data(checkpoint: str | Path, count: int, kind: str, knows: str) -> dict[str, Any]:
    """Return the model's name, how many parameters it has, and what the page is."""
    folder = Path(checkpoint).resolve()
    name = "the tiny Ovis2" if folder == TINY.resolve() else folder.name
    amount = f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
    return {"name": name, "parameters": amount, "kind": kind, "knows": knows}


def sizes(config: Ovis2Config) -> dict[str, int]:
    """Return the sizes of the values at the stations."""
    vision, text = config.vision_config, config.text_config
    return {
        "side": vision.image_size,
        "patches": (vision.image_size // vision.patch_size) ** 2,
        "stride": vision.hidden_stride,
        "vision_hidden": vision.hidden_size,
        "words": vision.vocab_size - vision.num_visual_indicator_tokens,
        "hidden": text.hidden_size,
        "layers": text.num_hidden_layers,
    }


def image_options(image: Ovis2ImageProcessor) -> dict[str, Any]:
    """Return what the page needs to show the search for the grid; threshold None where another search was used."""
    covering = image.crop_to_patches and image.use_covering_area_grid and "height" in image.size
    return {
        "side": image.tile_size[0] if "height" in image.size else 0,
        "max_tiles": image.max_patches,
        "threshold": image.covering_threshold if covering else None,
        "transposed": image.convention.transposed_grid,
        "crops": image.convention.crop_before_resize,
    }
