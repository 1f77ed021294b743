"""The torch image processor: its resizing against torch's `interpolate`, its rescaling and normalising against torch in
transformers' order of operations; whole, against transformers' own processor where torchvision is installed.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.errors import InputError
from ovis2_ref.image.float_resize import torch_nearest, torch_resize_floats
from ovis2_ref.image.operations import TORCH, resize_levels_torch
from ovis2_ref.image.pictures import torch_on_white
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.image.values import torch_values
from tests.image.drawn import noise, pictures, sizes
from tests.strategies import seeds

numbers = st.floats(0.01, 2.0)
three = st.lists(numbers, min_size=3, max_size=3)
sides = st.tuples(st.integers(2, 200), st.integers(2, 200))


def normalised(levels: torch.Tensor, chosen: dict[str, Any]) -> torch.Tensor:
    """Return `rescale_and_normalize` of transformers 5 with `torchvision.transforms.v2.functional.normalize` written out."""
    if not chosen["do_normalize"]:
        return levels * chosen["rescale_factor"] if chosen["do_rescale"] else levels
    mean, std = torch.tensor(chosen["image_mean"]), torch.tensor(chosen["image_std"])
    if chosen["do_rescale"]:
        mean, std = mean * (1.0 / chosen["rescale_factor"]), std * (1.0 / chosen["rescale_factor"])
    return levels.to(torch.float32).sub(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of rescaling and normalising, and a filter."""
    return {
        "do_rescale": draw(st.booleans()),
        "rescale_factor": draw(st.sampled_from([1 / 255, 0.1, 1.0])),
        "do_normalize": draw(st.booleans()),
        "image_mean": draw(three),
        "image_std": draw(three),
        "resample": draw(st.sampled_from([2, 3])),
    }


@given(sides, st.integers(2, 60), options(), seeds)
def test_values(size: tuple[int, int], side: int, chosen: dict[str, Any], seed: int) -> None:
    """One tile: resized by torch, then torch's float arithmetic, to the last bit."""
    picture = noise(seed, 3, *size)
    mode = {2: "bilinear", 3: "bicubic"}[chosen["resample"]]
    resized = torch.nn.functional.interpolate(torch.tensor(picture)[None], (side, side), mode=mode, antialias=True)[0]
    ours = Ovis2ImageProcessorFast(size=side, **chosen)(
        picture, return_tensors="np", input_data_format="channels_first"
    )
    expected = normalised(resized, chosen).numpy()
    assert ours["pixel_values"].dtype == expected.dtype
    np.testing.assert_array_equal(ours["pixel_values"][0], expected)


@given(sizes, options(), seeds, st.sampled_from([np.float32, np.float64]))
def test_floats(size: tuple[int, int], chosen: dict[str, Any], seed: int, dtype: type) -> None:
    """Floats that are not resized go through the same formula."""
    picture = noise(seed | 1, 3, *size).astype(dtype) / 255
    ours = torch_values(
        picture,
        chosen["rescale_factor"] if chosen["do_rescale"] else None,
        *((chosen["image_mean"], chosen["image_std"]) if chosen["do_normalize"] else (None, None)),
    )
    expected = normalised(torch.tensor(picture), chosen).numpy()
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected)


@given(sizes, seeds)
def test_transparency(size: tuple[int, int], seed: int) -> None:
    """Four channels on white: torchvision's `to_dtype` there and back written out in torch."""
    picture = noise(seed | 1, 4, *size)
    image = torch.tensor(picture).to(torch.float32).mul_(1.0 / 255)
    expected = (image[:3] * image[3:] + (1 - image[3:])).mul(255 + 1.0 - 1e-3).to(torch.uint8)
    np.testing.assert_array_equal(torch_on_white(picture), expected.numpy())


@given(pictures(("RGB",), sides), st.integers(1, 9))
def test_close_to_pillow(image: Image.Image, most: int) -> None:
    """Same grids and tiles as the Pillow processor's, within 2 of 255 levels for each pass (their roundings differ)."""
    common = {"size": 32, "crop_to_patches": True, "max_patches": most, "do_normalize": False}
    fast, slow = (kind(**common)(image, return_tensors="np") for kind in (Ovis2ImageProcessorFast, Ovis2ImageProcessor))
    assert fast["grids"].tolist() == slow["grids"].tolist()
    assert np.abs(fast["pixel_values"] - slow["pixel_values"]).max() * 255 < 30


@given(sides, st.tuples(st.integers(1, 250), st.integers(1, 250)))
def test_center_crop(size: tuple[int, int], crop: tuple[int, int]) -> None:
    """The centre crop begins where torchvision's pads and crops put it: halves rounded towards 0, where Pillow's rounds down."""
    for have, want in zip(size, crop, strict=True):
        padded = (want - have) // 2 if want > have else 0
        after = have + (padded + (want - have + 1) // 2 if want > have else 0)
        assert TORCH.crop_offset(have, want) == int((after - want) / 2.0) - padded


@given(
    st.lists(pictures(("RGB", "RGBA", "L"), sides), min_size=1, max_size=3), options(), st.integers(1, 9), st.booleans()
)
def test_whole(images: list[Image.Image], chosen: dict[str, Any], most: int, covering: bool) -> None:
    """transformers' processor itself. Needs torchvision."""
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    from transformers.models.ovis2.image_processing_ovis2 import Ovis2ImageProcessor as Reference

    chosen |= {"size": {"height": 30, "width": 20}, "crop_to_patches": True, "max_patches": most}
    chosen["use_covering_area_grid"] = covering
    ours = Ovis2ImageProcessorFast(**chosen)(images, return_tensors="np")
    theirs = Reference(**chosen)(images, return_tensors="np")
    assert ours["grids"].tolist() == np.asarray(theirs["grids"]).tolist()
    np.testing.assert_array_equal(ours["pixel_values"], np.asarray(theirs["pixel_values"]))


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 60), st.integers(2, 60)),
    st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    st.sampled_from([np.float32, np.float64]),
    seeds,
)
def test_resizing_of_floats(size: Any, target: Any, mode: str, dtype: type, seed: int) -> None:
    """Each of two passes adds n products up, of weights whose absolute values sum to 1.7 at most, and rounds each weight a few
    times: n + 8 roundings of numbers up to 1.7 squared. torch's result of one pixel's width is left out: it is wrong.
    """
    picture = np.random.default_rng(seed).random((3, *size)).astype(dtype)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(picture)[None], target, mode=mode, antialias=True)[0]
    taps = sum(6 * max(n / m, 1) + 8 for n, m in zip(size, target, strict=True))
    ours = torch_resize_floats(picture, target, mode)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=3 * taps * np.finfo(dtype).eps)


@given(sides, sides, seeds)
def test_nearest(size: Any, target: Any, seed: int) -> None:
    """The same pixels, where no output pixel's centre falls between two input pixels but for rounding."""
    picture = noise(seed, 3, *size)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(picture)[None], target, mode="nearest-exact")[0].numpy()
    places = [(np.arange(m) + 0.5) * n / m for n, m in zip(size, target, strict=True)]
    rows, columns = (np.abs(place - np.round(place)) > 1e-4 for place in places)
    clear = rows[:, None] & columns
    np.testing.assert_array_equal(torch_nearest(picture, target)[:, clear], theirs[:, clear])


@given(sides, st.integers(2, 60), st.sampled_from(["bicubic", "lanczos", 0]), seeds)
def test_floats_and_filters_of_the_processor(size: Any, side: int, resample: Any, seed: int) -> None:
    """A float picture is resized as floats, rescaled and normalised; bytes by lanczos to the bit."""
    picture = noise(seed, 3, *size)
    options = {"size": side, "resample": resample, "do_normalize": False, "do_rescale": False}
    mode = "nearest-exact" if resample == 0 else resample
    if resample != 0:
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(picture)[None], (side, side), mode=mode, antialias=True
        )
        ours = Ovis2ImageProcessorFast(**options)(picture, return_tensors="np", input_data_format="channels_first")
        np.testing.assert_array_equal(ours["pixel_values"], theirs.numpy())
    floats = Ovis2ImageProcessorFast(**options | {"do_rescale": True, "rescale_factor": 0.5})
    values = floats(picture.astype(np.float32), return_tensors="pt", input_data_format="channels_first").pixel_values
    resized = resize_levels_torch(picture.astype(np.float32), (side, side), floats)[0]
    assert values.dtype == torch.float32
    torch.testing.assert_close(values[0], torch.from_numpy(resized) * 0.5, rtol=0, atol=0)


def test_refused() -> None:
    """Filters that torch lacks."""
    with pytest.raises(InputError, match="hamming"):
        Ovis2ImageProcessorFast(resample="hamming")(noise(1, 9, 8, 3))
