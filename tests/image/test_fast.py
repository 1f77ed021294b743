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
from ovis2_ref.image.arithmetic import TORCH
from ovis2_ref.image.pictures import torch_on_white
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.image.values import torch_values
from tests.image.drawn import noise, pictures, sizes
from tests.strategies import seeds

numbers = st.floats(0.01, 2.0)
three = st.lists(numbers, min_size=3, max_size=3)
sides = st.tuples(st.integers(2, 200), st.integers(2, 200))


def normalised(levels: torch.Tensor, chosen: dict[str, Any]) -> torch.Tensor:
    """`rescale_and_normalize` of transformers 5 with `torchvision.transforms.v2.functional.normalize` written out."""
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


def test_refused() -> None:
    """Filters that torch lacks, and floats to resize."""
    with pytest.raises(InputError, match="lanczos"):
        Ovis2ImageProcessorFast(resample=1)(noise(1, 9, 8, 3))
    with pytest.raises(InputError, match="bytes"):
        Ovis2ImageProcessorFast()(noise(1, 9, 8, 3) / 255)
