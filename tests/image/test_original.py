"""Convention "original" against the authors' own results (`tests/golden_original`), and each difference between the two."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ovis2_ref.errors import InputError
from ovis2_ref.image.processor import Ovis2ImageProcessor
from tests.image.drawn import noise

GOLDEN = Path(__file__).parents[1] / "golden_original"
CASES = json.loads((GOLDEN / "cases.json").read_text())
SETTINGS = json.loads((GOLDEN / "checkpoint" / "preprocessor_config.json").read_text())
MEAN, STD = (np.float32(SETTINGS[name])[:, None, None] for name in ("image_mean", "image_std"))


def both(picture: np.ndarray, side: int = 56, **options: int) -> tuple[dict, dict]:
    """Return what the two conventions make of a picture (h, w, 3), cut into at most 9 tiles."""
    common = {"return_tensors": "np", "max_patches": 9, **options}
    original = Ovis2ImageProcessor("original", size=side)
    transformers = Ovis2ImageProcessor(size=side, crop_to_patches=True)
    return original(picture, **common), transformers(picture, **common)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["image"])
def test_golden(case: dict) -> None:
    """The authors' pixel values, to the last bit of float32. They were made with Pillow 13.0.0."""
    processor = Ovis2ImageProcessor.from_dict(SETTINGS, "original")
    inputs = processor(Image.open(GOLDEN / case["image"]), return_tensors="np")
    expected = load_file(GOLDEN / "golden.safetensors")[f"{case['case']}.pixel_values"]
    assert len(inputs["pixel_values"]) == case["tiles"]
    np.testing.assert_array_equal(inputs["pixel_values"], expected)


def test_grid_is_not_transposed() -> None:
    """400x1000 (h x w), tiles of 448: the authors cut 1 row of 3 columns, transformers 3 rows of 1 column."""
    original, transformers = both(noise(1, 400, 1000, 3), 448)
    assert original["grids"].tolist() == [[1, 3]]
    assert transformers["grids"].tolist() == [[3, 1]]


def test_crop_comes_first() -> None:
    """56x112, 1 row of 2 columns: the authors' right tile is the picture's right half, untouched; transformers resizes first."""
    picture = noise(1, 56, 112, 3)
    original, transformers = both(picture)
    tiles = original["pixel_values"] * STD + MEAN
    error = 8 * 255 * np.finfo(np.float32).eps  # six operations there and back, on numbers of at most 255 here
    np.testing.assert_allclose(tiles[2] * 255, picture[:, 56:].transpose(2, 0, 1), rtol=0, atol=error)
    assert transformers["grids"].tolist() == [[2, 1]]


def test_aspect_ratio_is_kept_truncated_and_padded_after_normalising() -> None:
    """31x55 in one tile of 56 leaves int(31 / 55 * 56) = 31 rows (31.56, truncated), with exact zeros above and below."""
    original, transformers = both(noise(1, 31, 55, 3), max_patches=1)
    rows = np.flatnonzero(original["pixel_values"][0].any(axis=(0, 2)))
    assert (rows[0], len(rows)) == ((56 - 31) // 2, 31)
    assert transformers["pixel_values"][0].any(axis=(0, 2)).all()


def test_thumbnail_too() -> None:
    """A 56x112 picture's thumbnail is 28 rows of 56 amid zeros; the tiles beside it are full."""
    tiles = both(noise(1, 56, 112, 3))[0]["pixel_values"]
    assert [int(tile.any(axis=(0, 2)).sum()) for tile in tiles] == [28, 56, 56]


def test_tiles_at_most() -> None:
    """By default the authors cut a large picture into 9 tiles at most, transformers into 12."""
    picture = noise(1, 900, 1200, 3)
    original = Ovis2ImageProcessor("original", size=56)(picture, return_tensors="np")
    transformers = Ovis2ImageProcessor(size=56, crop_to_patches=True)(picture, return_tensors="np")
    assert original["grids"].prod() <= 9
    assert transformers["grids"].prod() == 12


def test_transparency_is_dropped() -> None:
    """A black picture, fully transparent: white for transformers 5, black for the authors, who keep the colour beneath."""
    picture = Image.new("RGBA", (56, 56), (0, 0, 0, 0))
    original, transformers = both(picture)
    np.testing.assert_allclose(original["pixel_values"][0], np.broadcast_to(-MEAN / STD, (3, 56, 56)), atol=1e-6)
    np.testing.assert_allclose(
        transformers["pixel_values"][0], np.broadcast_to((1 - MEAN) / STD, (3, 56, 56)), atol=1e-6
    )
    array = both(np.asarray(picture))[0]
    np.testing.assert_array_equal(array["pixel_values"], original["pixel_values"])


def test_order_of_passes_shows() -> None:
    """With an older Pillow the authors' code gives other values for a 300x100 (h x w) picture: golden values need its version."""
    picture = noise(1, 300, 100, 3)
    old, new = (
        Ovis2ImageProcessor("original", size=56, pillow=order)(picture, return_tensors="np")["pixel_values"]
        for order in ("12.1", "13")
    )
    assert (old[0] != new[0]).any()


@pytest.mark.parametrize(
    ("size", "words"), [((1, 600), "too narrow"), ((600, 1), "too narrow"), ((9, 60000), "too narrow")]
)
def test_refused_strips(size: tuple[int, int], words: str) -> None:
    """A part of which truncation leaves no row or column: the authors' code fails on it, ours says why."""
    with pytest.raises(InputError, match=words):
        Ovis2ImageProcessor("original", size=56)(Image.fromarray(noise(1, *size, 3)))


@pytest.mark.parametrize(
    "option", [{"do_resize": False}, {"use_covering_area_grid": False}, {"do_center_crop": True, "crop_size": 9}]
)
def test_refused_options(option: dict) -> None:
    """The authors' program asserts that these are as they are."""
    with pytest.raises(InputError, match="original"):
        Ovis2ImageProcessor("original", **option)
    with pytest.raises(InputError, match="square"):
        Ovis2ImageProcessor("original", size=(4, 5))
