"""The Pillow image processor against transformers' own: values and grids to the bit, whatever options and picture.

With transformers 4.56 all of this file passes too, less what its processor doesn't do: lay transparency on white, convert arrays,
crop the centre, take other sizes than height and width, use `resample` or `use_covering_area_grid` wherever they are given.
"""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.errors import InputError
from ovis2_ref.image import limits
from ovis2_ref.image.processor import Ovis2ImageProcessor
from tests.image.drawn import INSTALLED, V5, Reference, noise, pictures, sizes
from tests.strategies import seeds

needs_v5 = pytest.mark.skipif(not V5, reason="transformers 4.56 does not do this")
small = st.one_of(sizes, st.tuples(st.integers(1, 200), st.integers(1, 200)))
opaque = ("RGB", "L", "1", "CMYK", "I;16", "I", "F", "HSV", "YCbCr", "P")
transparent = ("RGBA", "LA", "P", "PA")


@st.composite
def statistics(draw: st.DrawFn, least: float, bare: bool) -> Any:
    """A mean or a deviation: one number for each channel, or one for all."""
    number = st.floats(least, 2.0)
    return draw(number) if bare else draw(st.lists(number, min_size=3, max_size=3))


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Every option that the installed transformers takes, with its values."""
    most = draw(st.integers(1, 12))
    drawn = {
        "size": {"height": draw(st.integers(1, 60)), "width": draw(st.integers(1, 60))},
        "crop_to_patches": draw(st.booleans()),
        "min_patches": draw(st.integers(1, most)),
        "max_patches": most,
        "use_covering_area_grid": draw(st.booleans()),
        "do_resize": True,
        "do_rescale": draw(st.booleans()),
        "rescale_factor": draw(st.sampled_from([1 / 255, 1.0, 0.1])),
        "do_normalize": draw(st.booleans()),
        "image_mean": draw(statistics(-1.0, draw(st.booleans()))),
        "image_std": draw(statistics(0.01, draw(st.booleans()))),
    }
    if V5:
        drawn["resample"] = draw(st.integers(0, 5))
        drawn["do_center_crop"] = draw(st.booleans())
        drawn["crop_size"] = {"height": draw(st.integers(1, 70)), "width": draw(st.integers(1, 70))}
    return drawn


def same(ours: dict[str, Any], theirs: Any) -> None:
    """Values, their type and shape, and grids are the same."""
    expected = np.asarray(theirs["pixel_values"])
    assert ours["pixel_values"].dtype == expected.dtype
    np.testing.assert_array_equal(ours["pixel_values"], expected)
    assert ours["grids"].tolist() == np.asarray(theirs["grids"]).tolist()


def compare(images: Any, chosen: dict[str, Any], ours: dict[str, Any] | None = None) -> None:
    """Both processors on `images`: the options at the making and at the call give one result, and it is transformers'."""
    # transformers 4.56 takes a Pillow image of 3 rows for one with its channels first, unless it is told.
    theirs = Reference(**chosen)(
        images, return_tensors="np", **({} if V5 else {**chosen, "input_data_format": "channels_last"})
    )
    same(Ovis2ImageProcessor(pillow=INSTALLED, **chosen)(images, return_tensors="np"), theirs)
    same(Ovis2ImageProcessor(pillow=INSTALLED).preprocess(images, return_tensors="np", **chosen), theirs)


@given(st.lists(pictures(opaque, small), min_size=1, max_size=2), options())
def test_options(images: list[Image.Image], chosen: dict[str, Any]) -> None:
    """Every option drawn, on Pillow's images of every mode without transparency, one and several."""
    if not V5:
        images = [image.convert("RGB") for image in images]
        for image in images:
            image.info.pop("transparency", None)
    compare(images if len(images) > 1 else images[0], chosen)


@needs_v5
@given(pictures(transparent, small), options())
def test_transparency(image: Image.Image, chosen: dict[str, Any]) -> None:
    """Transparent pictures are laid on white; so are palettes with a transparent colour."""
    compare(image, chosen)


@needs_v5
@given(
    small,
    st.sampled_from([1, 3, 4]),
    st.sampled_from(["uint8", "int64", "float32", "float64", "scaled"]),
    seeds,
    options(),
)
def test_arrays(size: tuple[int, int], channels: int, kind: str, seed: int, chosen: dict[str, Any]) -> None:
    """Arrays, channels first and last, of bytes, whole numbers, and floats from 0 to 255 or from 0 to 1."""
    array = noise(seed | 1, channels, *size)
    array = (array / 255).astype(np.float32) if kind == "scaled" else array.astype(kind)
    if channels == 4 and kind in ("float32", "float64"):
        array /= 255
    if array.dtype.kind == "f" and array.max() <= 1 and not ((array > 0) & (array < 1)).any():
        return
    layout = "channels_last" if seed % 4 < 2 else "channels_first"
    picture = np.moveaxis(array, 0, -1) if layout == "channels_last" else array
    compare(picture, {**chosen, "input_data_format": layout})


@needs_v5
@given(small, st.sampled_from(["uint8", "float32", "scaled", "float64"]), seeds, options())
def test_without_resizing(size: tuple[int, int], kind: str, seed: int, chosen: dict[str, Any]) -> None:
    """do_resize=False, where floats stay the floats they are."""
    array = noise(seed | 1, 3, *size)
    array = array / 255 if kind == "scaled" else array.astype(kind)
    compare(array, {**chosen, "do_resize": False, "crop_to_patches": False, "input_data_format": "channels_first"})


@needs_v5
@given(
    pictures(
        ("RGB",), st.tuples(st.integers(2, 9), st.integers(2, 9)) | st.tuples(st.integers(4, 90), st.integers(4, 90))
    ),
    st.sampled_from(
        [
            {"shortest_edge": 13},
            {"shortest_edge": 20, "longest_edge": 31},
            {"max_height": 30, "max_width": 44},
            17,
            (9, 21),
        ]
    ),
)
def test_sizes(image: Image.Image, size: Any) -> None:
    """Every way to give a size; where the aspect ratio is kept, its truncations."""
    compare(image, {"size": size})


@needs_v5
@given(pictures(("L",), small), st.floats(0.1, 1.0))
def test_grey_stays_grey(image: Image.Image, number: float) -> None:
    """do_convert_rgb=False leaves one channel one channel."""
    compare(
        image, {"do_convert_rgb": False, "image_mean": number, "image_std": number, "size": {"height": 20, "width": 30}}
    )


@needs_v5
@given(small, st.integers(0, 5), st.integers(2, 9), st.booleans(), st.floats(0.2, 1.0), st.booleans(), seeds)
def test_methods(
    size: tuple[int, int], resample: int, most: int, covering: bool, threshold: float, scaled: bool, seed: int
) -> None:
    """`resize` and `crop_image_to_patches`, called on their own."""
    from transformers.image_utils import SizeDict

    array = noise(seed | 1, 3, *size)
    array = (array / 255).astype(np.float32) if scaled else array
    if scaled and not ((array > 0) & (array < 1)).any():
        return
    ours, theirs = Ovis2ImageProcessor(pillow=INSTALLED, input_data_format="channels_first"), Reference()
    tile = SizeDict(height=24, width=20)
    np.testing.assert_array_equal(ours.resize(array, (24, 20), resample), theirs.resize(array, tile, resample))
    np.testing.assert_array_equal(ours.resize(array, (24, 20)), theirs.resize(array, tile))
    if 1 in size or 3 in size:
        return
    arguments = (array, 1, most, covering, threshold)
    tiles, grid = ours.crop_image_to_patches(*arguments, patch_size=(24, 20), resample=resample)
    expected, expected_grid = theirs.crop_image_to_patches(*arguments, patch_size=tile, resample=resample)
    assert grid == list(expected_grid)
    np.testing.assert_array_equal(tiles, expected)


@given(options())
def test_files(chosen: dict[str, Any]) -> None:
    """What `to_dict` writes makes the same processor in transformers, and what transformers writes, the same one here."""
    ours, theirs = Ovis2ImageProcessor(**chosen), Reference(**chosen)
    written = Reference.from_dict(json.loads(json.dumps(ours.to_dict()))).to_dict()
    for key, value in theirs.to_dict().items():
        assert written[key] == value, key
    # transformers 4.56 forgets this one, wherever it is given but in a call.
    forgotten = {} if V5 else {"use_covering_area_grid": chosen["use_covering_area_grid"]}
    assert Ovis2ImageProcessor.from_dict(theirs.to_dict() | forgotten).to_dict() == ours.to_dict()


def test_defaults() -> None:
    """The defaults are transformers'."""
    ours, theirs = Ovis2ImageProcessor(), Reference()
    for name in ("do_resize", "resample", "do_rescale", "rescale_factor", "do_normalize", "do_convert_rgb", "crop_to_patches",
                 "min_patches", "max_patches"):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.size == dict(theirs.size)
    assert (list(ours.image_mean), list(ours.image_std)) == (list(theirs.image_mean), list(theirs.image_std))


def test_layouts_and_lists() -> None:
    """One picture, lists, lists of lists and a batch are the same pictures; channels last and lists are what they say."""
    array = noise(1, 2, 20, 30, 3)
    processor = Ovis2ImageProcessor(size=8)
    expected = processor(list(array), return_tensors="np")
    for images in (array, [[array[0]], [array[1]]], [Image.fromarray(picture) for picture in array]):
        same(processor(images, return_tensors="np"), expected)
    last = processor(array, return_tensors="np", data_format="channels_last")["pixel_values"]
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), expected["pixel_values"])
    plain = processor(array)
    assert plain["grids"] == [[1, 1], [1, 1]]
    np.testing.assert_array_equal(plain["pixel_values"], expected["pixel_values"])
    grey = noise(1, 20, 30)
    same(processor(grey, return_tensors="np"), processor(grey[None], return_tensors="np"))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"max_tiles": 3}, "no argument 'max_tiles'"),
        ({"size": {"height": 0, "width": 4}}, "size"),
        ({"size": {"edge": 4}}, "size"),
        ({"size": "large"}, "size"),
        ({"resample": 9}, "resample"),
        ({"resample": True}, "resample"),
        ({"max_patches": 0}, "max_patches"),
        ({"min_patches": 4, "max_patches": 3, "crop_to_patches": True, "use_covering_area_grid": False}, "max_patches"),
        ({"max_patches": 10**9, "crop_to_patches": True}, "max_patches"),
        ({"image_mean": [0.5, 0.5]}, "image_mean has 2 numbers"),
        ({"image_std": 0.0}, "image_std"),
        ({"image_mean": float("nan")}, "image_mean"),
        ({"do_resize": 1}, "do_resize"),
        ({"do_center_crop": True}, "crop_size"),
        ({"size": {"shortest_edge": 4}, "crop_to_patches": True}, "height and width"),
        ({"size": {"height": 10**5, "width": 10**5}}, "too large"),
        ({"data_format": "first"}, "data_format"),
        ({"return_tensors": "tf"}, "return_tensors"),
        ({"pillow": "9"}, "pillow"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"size": {"max_height": 1, "max_width": 100}, "input_data_format": "channels_last"}, "would have no pixels"),
    ],
)
def test_refused(chosen: dict[str, Any], words: str) -> None:
    """An option that is not known, or can't be used, is refused in words that name it."""
    with pytest.raises(InputError, match=words):
        Ovis2ImageProcessor().preprocess(noise(1, 90, 8, 3), **chosen)


def test_unequal_sizes() -> None:
    """Tiles of different sizes are a list, but no array."""
    images = [noise(1, 20, 30, 3), noise(1, 30, 20, 3)]
    processor = Ovis2ImageProcessor(size={"shortest_edge": 6})
    assert [tile.shape for tile in processor(images)["pixel_values"]] == [(3, 6, 9), (3, 9, 6)]
    with pytest.raises(InputError, match="different sizes"):
        processor(images, return_tensors="np")
    with pytest.raises(InputError, match="no picture"):
        processor([])


def test_larger_pictures_where_they_are_allowed() -> None:
    """`max_pixels` is an argument of a processor and of a call; no file sets it, and it isn't saved."""
    picture = Image.fromarray(np.zeros((11, 11, 3), np.uint8))
    processor = Ovis2ImageProcessor(size=8, max_pixels=100)
    with pytest.raises(InputError, match=r"at most 100 pixels are taken.* max_pixels allows more"):
        processor(picture)
    assert processor(picture, max_pixels=121, return_tensors="np")["pixel_values"].shape == (1, 3, 8, 8)
    assert "max_pixels" not in processor.to_dict()
    assert Ovis2ImageProcessor.from_dict({"max_pixels": 10**9}).max_pixels == limits.MAX_PIXELS
    for width, height in ((9_500, 9_500), (2**17, 1_000)):
        with pytest.raises(InputError, match="too large"):
            limits.check_pixels(width, height, "it")
        with limits.pixels_allowed(width * height):
            limits.check_pixels(width, height, "it")
    with limits.pixels_allowed(10**9), pytest.raises(InputError, match="too large"):
        limits.check_pixels(2**18 + 1, 1, "it")
