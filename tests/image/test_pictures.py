"""Hostile and odd input: a clear error or the right answer. Clips. Files."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.errors import InputError, OvisError
from ovis2_ref.image.limits import MAX_EDGE
from ovis2_ref.image.loading import frame_numbers, load_image, load_video
from ovis2_ref.image.processor import Ovis2ImageProcessor
from tests.image.drawn import noise
from tests.strategies import seeds

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return `image` as a file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shades(count: int) -> list[Image.Image]:
    """`count` frames, each of its own grey."""
    return [Image.new("RGB", (12, 9), (5 * i, 5 * i, 5 * i)) for i in range(count)]


@pytest.mark.parametrize("kind", FORMATS)
def test_files(kind: str, tmp_path: Path) -> None:
    """A file's name, its path, its bytes, the opened image: one picture."""
    data = encoded(Image.fromarray(noise(1, 30, 40, 3)), kind)
    path = tmp_path / "picture"
    path.write_bytes(data)
    processor = Ovis2ImageProcessor(size=16)
    expected = processor(Image.open(path), return_tensors="np")["pixel_values"]
    for source in (str(path), path, data, [path]):
        np.testing.assert_array_equal(processor(source, return_tensors="np")["pixel_values"], expected)
    image = Image.open(path)
    assert load_image(image) is image


@given(st.sampled_from(FORMATS), st.floats(0.0, 1.0), seeds, st.booleans())
def test_damaged_files(kind: str, where: float, seed: int, cut: bool) -> None:
    """A file cut short, or with bytes overwritten: a picture or an `InputError`, never another library's exception."""
    data = bytearray(encoded(Image.fromarray(noise(1, 30, 40, 3)), kind))
    place = int(where * len(data))
    if cut:
        data = data[:place]
    else:
        damage = np.random.default_rng(seed).bytes(8)
        data[place : place + len(damage)] = damage
    try:
        assert load_image(bytes(data)).size[0] > 0
    except InputError as error:
        assert "can't be read as a picture" in str(error) or "too large" in str(error)


@given(st.binary(max_size=200))
def test_noise_is_no_picture(data: bytes) -> None:
    """Bytes that are no picture."""
    with pytest.raises(InputError, match="can't be read"):
        load_image(data)


@pytest.mark.parametrize("source", ["/nowhere/picture.png", "/", "", b"", "a\0b"])
def test_no_file(source: Any) -> None:
    """Names of nothing."""
    with pytest.raises(InputError, match="can't be read"):
        load_image(source)


def test_bomb() -> None:
    """A PNG of some bytes that claims 60000x60000 pixels is refused by its header, without allocating them."""
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"too large|exceeds limit"):
        load_image(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("RGB", (0, 5)), "is empty"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((5, 4, 2), np.uint8), "channels"),
        (np.zeros((5, 4, 7), np.uint8), "channels"),
        (np.zeros((3, 4, 3), np.uint8), "say which"),
        (np.zeros(5, np.uint8), "shape"),
        (np.zeros((1, 1, 1, 1, 1), np.uint8), "shape"),
        (np.zeros((5, 6), bool), "type bool"),
        (np.full((5, 6), np.nan, np.float32), "NaN"),
        (np.full((5, 6), np.inf), "infinite"),
        (Image.fromarray(np.full((5, 6), np.nan, np.float32)), "NaN"),
        (np.full((5, 6), -1.0), "got -1"),
        (np.full((5, 6), 256), "got 256"),
        (np.full((5, 6), 1e30), "got 1e"),
        (np.full((5, 6), 0.5) * 3, "got 1.5"),
        (np.eye(6), "only 0 and 1"),
        (np.array([["a"]]), "type <U1"),
        (None, "NoneType"),
        (7, "int"),
        (object(), "object"),
        (np.zeros((2, MAX_EDGE + 1), np.uint8), "too large"),
        ([], "no picture"),
    ],
)  # fmt: skip
def test_refused(picture: Any, words: str) -> None:
    """What can't be a picture is refused in words that say why."""
    with pytest.raises(OvisError, match=words):
        Ovis2ImageProcessor(size=4, crop_to_patches=True)(picture)


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "RGBA", "LA", "YCbCr"])
def test_refused_unconverted(mode: str) -> None:
    """With do_convert_rgb=False, transformers takes a palette's indices, or C, M and Y, for intensities."""
    image = Image.new("L", (4, 4)).convert("RGB" if mode in ("P", "CMYK", "YCbCr") else "L").convert(mode)
    with pytest.raises(InputError, match="intensities"):
        Ovis2ImageProcessor(do_convert_rgb=False)(image)


@pytest.mark.parametrize("convention", ["transformers", "original"])
def test_smallest(convention: str) -> None:
    """One pixel fills its tile."""
    picture = Image.new("RGB", (1, 1), (10, 20, 30))
    values = Ovis2ImageProcessor(convention, size=8, image_mean=0, image_std=1)(picture, return_tensors="np")[
        "pixel_values"
    ]
    np.testing.assert_array_equal(values[0, :, 0, 0] * 255, np.float32([10, 20, 30]))
    assert np.ptp(values, axis=(2, 3)).max() == 0


def test_strip_is_cheap() -> None:
    """A 60000x2 picture (360 KB) is cut within 30 MB."""
    picture = noise(1, 2, 60000, 3)
    tracemalloc.start()
    result = Ovis2ImageProcessor(size=56, crop_to_patches=True)(picture, return_tensors="np")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result["grids"].tolist() == [[12, 1]]
    assert peak < 30 * 2**20


@given(st.integers(1, 500), st.integers(1, 40))
def test_frame_numbers(count: int, frames: int) -> None:
    """The middles of equal stretches: as many as asked for, all different, evenly spaced, as far from either end."""
    numbers = frame_numbers(count, frames)
    assert len(numbers) == min(count, frames)
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(count))
    gaps = np.diff(numbers)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert abs(numbers[0] - (count - 1 - numbers[-1])) <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_clips(kind: str, tmp_path: Path) -> None:
    """Every animated format gives the frames that `frame_numbers` says, and the processor one tile for each."""
    path = tmp_path / "clip"
    frames = shades(10)
    options = {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    taken = load_video(path, frames=4)
    assert [frame.convert("RGB").getpixel((3, 3))[0] // 5 for frame in taken] == frame_numbers(10, 4) == [1, 3, 6, 8]
    result = Ovis2ImageProcessor(size=16, crop_to_patches=True)(taken, return_tensors="np", max_patches=1)
    assert result["pixel_values"].shape == (4, 3, 16, 16)
    assert result["grids"].tolist() == [[1, 1]] * 4
    assert len(load_video(path, frames=99)) == 10
    assert len(load_video(encoded(frames[0], "JPEG"), frames=4)) == 1


@pytest.mark.parametrize("frames", [0, -1, True])
def test_refused_frames(frames: Any) -> None:
    """A number of frames is a whole number above 0."""
    with pytest.raises(InputError, match="frames"):
        load_video(encoded(shades(1)[0], "GIF"), frames=frames)


@given(st.floats(0.0, 1.0), seeds, st.sampled_from(["GIF", "WEBP", "PNG"]))
def test_damaged_clips(where: float, seed: int, kind: str) -> None:
    """A damaged clip: frames, or an `InputError`."""
    frames = shades(5)
    data = bytearray(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    place = int(where * len(data))
    damage = np.random.default_rng(seed).bytes(6)
    data[place : place + len(damage)] = damage
    try:
        assert 1 <= len(load_video(bytes(data), frames=3)) <= 3
    except InputError as error:
        assert str(error)
