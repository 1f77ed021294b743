"""Picture files that run programs, take gigabytes or never end: refused with our error, or decoded within the stated bounds."""

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovis2_ref.errors import InputError
from ovis2_ref.image.limits import COSTS, MAX_FRAMES, MEMORY, SECONDS
from ovis2_ref.image.loading import load_image, load_video
from ovis2_ref.image.pictures import as_picture, pillow_on_white
from ovis2_ref.image.processor import Ovis2ImageProcessor
from tests.hostile import picture_files as files
from tests.hostile.bounded import bounded
from tests.image.drawn import noise

Image.init()
NEEDS_A_PLUGIN = ("BUFR", "GRIB", "HDF5", "WMF")
LEFT_OUT = sorted(kind for kind in Image.SAVE if kind not in {*COSTS, *NEEDS_A_PLUGIN, "MPO", "DIB"})


def left_out(kind: str) -> bytes:
    """Return a small file of a format that isn't opened."""
    for mode in ("RGB", "L", "1", "F", "RGBA", "P"):
        with suppress(OSError, ValueError, KeyError):
            return files.encoded(Image.new(mode, (32, 32)), kind)
    raise AssertionError(kind)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_formats_left_out(kind: str, tmp_path: Path) -> None:
    """Refused by content, whatever the file is called; nothing is started."""
    path = tmp_path / "cat.png"
    path.write_bytes(left_out(kind))
    outcome = bounded(lambda: load_image(path), 30, (tmp_path,))
    assert outcome.kind == "refused", outcome
    assert "none of PNG, JPEG" in outcome.message


def test_postscript_starts_nothing(tmp_path: Path) -> None:
    """With a Ghostscript on the path, Pillow would start it for such a file."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text("#!/bin/sh\ntouch " + str(tmp_path / "started"))
    ghostscript.chmod(0o755)
    path = tmp_path / "cat.png"
    path.write_bytes(files.POSTSCRIPT)

    def case() -> None:
        os.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        load_image(path)

    assert bounded(case, 30, (tmp_path,)).kind == "refused"
    assert not (tmp_path / "started").exists()


COSTLY = {
    "a GIF that grows": lambda: files.growing_gif(13000, 40),
    "a GIF that grows at first": lambda: files.growing_gif(13000, 1, disposal=2)[:-1].replace(files.gif_frame(1, 1), b"", 1),
    "a GIF with a hidden frame": lambda: files.hidden_gif(13000),
    "a GIF of many frames": lambda: files.long_gif(3000, 470),
    "a GIF of a million frames": lambda: files.growing_gif(1, MAX_FRAMES + 5),
    "a JPEG of 10,000 scans": lambda: files.jpeg_of_scans(512, 10_000),
    "a TIFF of 60,000 pages": lambda: files.tiff(60_000),
    "a TIFF of one huge tile": lambda: files.tiff_of_one_tile(30_000),
    "a PNG's claim": lambda: files.png_header(60_000, 60_000),
    "an RGBA PNG's claim": lambda: files.png_header(9460, 9460),
    "a WebP's claim": lambda: files.webp_header(16_000, 16_000),
    "a plain PPM": lambda: b"P3\n9000 9000\n255\n" + b"0 " * 1000,
    "a PPM of odd levels": lambda: b"P6\n9000 9000\n200\n" + bytes(1000),
    "a BMP of run lengths": lambda: run_length_bmp(9000),
}  # fmt: skip


def run_length_bmp(side: int) -> bytes:
    """A BMP whose header claims run-length encoding, which Pillow decodes in Python."""
    data = bytearray(files.encoded(Image.new("P", (8, 8)), "BMP"))
    data[18:26] = side.to_bytes(4, "little") * 2
    data[30] = 1
    return bytes(data)


@pytest.mark.parametrize("name", COSTLY)
def test_costly_files(name: str) -> None:
    """As a picture and as a clip: refused, or done, within a tenth of the stated bounds, for what they hold is little."""
    data = COSTLY[name]()
    for load in (load_image, load_video):
        outcome = bounded(lambda load=load: load(data) and None, SECONDS, ("/nowhere",))
        assert outcome.kind in ("right", "refused"), outcome
        assert outcome.seconds < SECONDS / 5, outcome
        assert outcome.peak < MEMORY / 4, outcome


LARGEST = {
    "PNG": lambda: files.png(9400, 9400),
    "JPEG": lambda: files.encoded(Image.new("RGB", (9400, 9400)), "JPEG", progressive=True, subsampling=0),
    "WEBP": lambda: files.encoded(Image.new("RGBA", (7300, 7300)), "WEBP", lossless=True, method=0, quality=0),
    "TIFF": lambda: files.encoded(Image.new("RGB", (9400, 9400)), "TIFF", compression="tiff_lzw"),
    "GIF": lambda: files.encoded(Image.new("P", (8100, 8100)), "GIF"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_pictures_keep_the_bounds(kind: str) -> None:
    """Just small enough for their format: decoded and made an array within the stated memory and time."""
    data = LARGEST[kind]()
    outcome = bounded(lambda: as_picture(data, True, None, pillow_on_white).shape, 2 * SECONDS)
    assert outcome.kind == "right", outcome
    assert outcome.seconds < SECONDS
    assert outcome.peak < MEMORY + len(data)


def test_first_frames_of_costly_clips_are_pictures() -> None:
    """A bound on clips is none on their first frame."""
    assert load_image(files.growing_gif(1, 30_000)[: 13 + 6 + len(files.gif_frame(1, 1))] + b";").size == (1, 1)
    assert load_image(files.tiff(60_000, data=bytes(64))).size == (8, 8)


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to, an endless device, a folder."""
    path = tmp_path / "cat.png"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/stdin")
    outcome = bounded(lambda: load_image(path), 1)
    assert outcome.kind == "refused", outcome
    assert outcome.peak < 2**24


@pytest.mark.parametrize("damage", ["cut short", "overwritten"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_opened_lazily(kind: str, damage: str) -> None:
    """What `PIL.Image.open` returned, damaged behind its header, given to the processor: a picture, or our error."""
    data = bytearray(files.encoded(Image.fromarray(noise(1, 60, 80, 3)), kind))
    for place in range(len(data) // 4, len(data), len(data) // 9):
        broken = data[:place] if damage == "cut short" else data[:place] + b"\xff\xd8\x00\x01" * 8 + data[place + 32 :]
        try:
            image = Image.open(io.BytesIO(bytes(broken)))
        except Exception:
            continue
        try:
            Ovis2ImageProcessor(size=8)(image)
        except InputError as error:
            assert "can't be read as a picture" in str(error)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(kind: str, orientation: int, tmp_path: Path) -> None:
    """Files are turned as transformers turns them, whether given by path or as bytes; Pillow's pictures are taken as they are."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "phone.jpg"
    path.write_bytes(files.encoded(Image.fromarray(noise(1, 12, 20, 3)), kind, exif=exif, **options))
    expected = np.asarray(transformers_load_image(str(path)))
    for source in (str(path), path, path.read_bytes()):
        np.testing.assert_array_equal(np.asarray(load_image(source)), expected)
    np.testing.assert_array_equal(np.asarray(load_video(path)[0]), expected)
    assert expected.shape[:2] == ((20, 12) if orientation > 4 else (12, 20))
    processor = Ovis2ImageProcessor(size=16)
    lying = processor(Image.open(path), return_tensors="np")["pixel_values"]
    turned = processor(path, return_tensors="np")["pixel_values"]
    assert (orientation == 1 or kind == "TIFF") == np.array_equal(lying, turned)  # Pillow itself turns a TIFF


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "1", "L", "I;16", "CMYK", "F"])
def test_modes_of_files(mode: str, tmp_path: Path) -> None:
    """A file's transparency and colours, as transformers takes them from a path."""
    levels = noise(3, 12, 20, 4)
    image = Image.fromarray(levels)
    image = Image.fromarray(levels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    kind = "TIFF" if mode in ("CMYK", "F", "PA") else "PNG"
    options = {"transparency": 3} if mode in ("P", "L") else {}
    path = tmp_path / "picture"
    path.write_bytes(files.encoded(image, kind, **options))
    theirs = transformers_load_image(str(path))
    np.testing.assert_array_equal(np.asarray(load_image(path)), np.asarray(theirs))
    processor = Ovis2ImageProcessor(size=16)
    np.testing.assert_array_equal(processor(path)["pixel_values"], processor(theirs)["pixel_values"])


def transformers_load_image(path: str) -> Image.Image:
    """Return what transformers loads from a path."""
    from transformers.image_utils import load_image  # here, so that the forks above stay small

    return load_image(path)


def test_threads_leave_the_warning_filters_alone() -> None:
    """Loading in eight threads changes nothing of the process."""
    data = files.encoded(Image.fromarray(noise(1, 30, 40, 3)), "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert len({np.asarray(image).tobytes() for image in pool.map(load_image, [data] * 200)}) == 1
    assert warnings.filters == before
