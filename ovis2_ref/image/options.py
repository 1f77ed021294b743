"""An image processor's options: transformers' names and defaults, checked when they are set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.files.checks import choice, number, shown, whole
from ovis2_ref.files.reading import has_file, read_json
from ovis2_ref.files.records import bounded, check_fields, one_of
from ovis2_ref.image.limits import MAX_EDGE, MAX_PIXELS
from ovis2_ref.image.resize import ORDERS
from ovis2_ref.image.tiling import MAX_TILES

RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers of its filters, 0 to 5."""

LARGEST_NUMBER = 1e30
"""Limit of a mean, a deviation or a factor; larger numbers don't fit float32, in which pixel values are computed."""

SIZES = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"max_height", "max_width"},
)

ORIGINAL_ONLY = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "use_covering_area_grid": True,
}
"""The only values under convention "original"."""


@dataclass(kw_only=True)
class ImageOptions:
    """The options of a processor, set when it is made or for one call.

    `size` and `crop_size` may be a number (a square), a pair (height, width) or a dict; `resample` is Pillow's number or a name;
    `image_mean` and `image_std` are a number or one for each channel. A tile is called a patch here, as in transformers.
    """

    # Resizing and cutting.
    do_resize: bool = True
    """Resize a picture that isn't cut into tiles."""
    size: dict[str, int] = field(default_factory=lambda: {"height": 384, "width": 384})
    """What a picture, or each of its tiles, becomes."""
    resample: int = 3
    """The filter: nearest, lanczos, bilinear, bicubic, box, hamming, from 0 on."""
    pillow: str = one_of("13", *ORDERS)
    """The Pillow version whose order of passes is used, see `resize.vertical_first`. transformers has no such option."""
    do_center_crop: bool = False
    """Cut the middle of `crop_size` out of every tile."""
    crop_size: dict[str, int] | None = None
    """Height and width of that middle."""

    # The grid of tiles.
    crop_to_patches: bool = False
    """Cut a picture into tiles."""
    min_patches: int = bounded(1, 1, MAX_TILES)
    """Tiles at least, where the grid is chosen by its aspect ratio."""
    max_patches: int = bounded(12, 1, MAX_TILES)
    """Tiles at most, the thumbnail not counted."""
    use_covering_area_grid: bool = True
    """Choose the grid by the area that it covers; else by its aspect ratio."""
    covering_threshold: float = bounded(0.9, -LARGEST_NUMBER, LARGEST_NUMBER)
    """The part of the picture's area that is enough to be covered."""

    # Levels and channels.
    do_convert_rgb: bool = True
    """Make every picture three channels."""
    do_rescale: bool = True
    """Multiply levels by `rescale_factor`."""
    rescale_factor: float = bounded(1 / 255, -LARGEST_NUMBER, LARGEST_NUMBER)
    """1 / 255 makes levels numbers from 0 to 1."""
    do_normalize: bool = True
    """Subtract the mean, and divide by the deviation."""
    image_mean: float | tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    """The mean of each channel."""
    image_std: float | tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    """The standard deviation of each channel."""
    data_format: str = "channels_first"
    """The order of a tile's axes: channels_first or channels_last."""
    input_data_format: str | None = None
    """The order of a picture's axes; None to find an axis of 1, 3 or 4."""

    max_pixels: int = bounded(MAX_PIXELS, 1, 2**40)
    """Pixels of a picture at most, for whoever trusts its source; no file sets it. transformers has no such option. Pillow itself
    opens files of up to 179 million pixels, unless PIL.Image.MAX_IMAGE_PIXELS is set."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.size = size_dict("size", self.size)
        self.crop_size = None if self.crop_size is None else size_dict("crop_size", self.crop_size)
        self.resample = _filter(self.resample)
        self.image_mean = _statistic("image_mean", self.image_mean)
        self.image_std = _statistic("image_std", self.image_std)
        if self.rescale_factor == 0.0:
            raise InputError("rescale_factor=0 leaves nothing of a picture")
        if 0.0 in (self.image_std if isinstance(self.image_std, tuple) else (self.image_std,)):
            raise InputError(f"image_std={self.image_std} holds a 0; the picture is divided by it")
        self.data_format = _layout("data_format", self.data_format)
        if self.input_data_format is not None:
            self.input_data_format = _layout("input_data_format", self.input_data_format)

    def check_original(self) -> None:
        """Raise `InputError` for an option that the authors' program doesn't have; it asserts some of these itself."""
        size = self.crop_size or self.size
        if "shortest_edge" not in size and size.get("height") != size.get("width"):
            raise InputError(f'the tiles of convention "original" are square, not {size}')
        for name, value in ORIGINAL_ONLY.items():
            if getattr(self, name) is not value:
                raise InputError(f'{name}={getattr(self, name)} is no option under convention "original"')

    @property
    def original_side(self) -> int:
        """A tile's side for the authors: `crop_size`, as in their `get_image_size`, or `size` where it is missing."""
        size = self.crop_size or self.size
        return size["height"] if "height" in size else size["shortest_edge"]

    @property
    def filter(self) -> str:
        """The name of the filter that `resample` numbers."""
        return RESAMPLE[self.resample]

    @property
    def center_size(self) -> tuple[int, int]:
        """The (height, width) of the centre crop. Raises `InputError` if `crop_size` doesn't give both."""
        if self.crop_size is None or "height" not in self.crop_size:
            raise InputError(f"do_center_crop=True takes a crop_size of height and width, not {self.crop_size}")
        return self.crop_size["height"], self.crop_size["width"]

    @property
    def tile_size(self) -> tuple[int, int]:
        """A tile's (height, width). Raises `InputError` if `size` doesn't give both."""
        if "height" not in self.size:
            raise InputError(f"tiles take a size of height and width, not {self.size}")
        return self.size["height"], self.size["width"]


def image_settings(root: Path) -> dict[str, Any]:
    """Return the image processor's settings in `root`: transformers 5's are a part of processor_config.json."""
    whole = read_json(root, "processor_config.json") if has_file(root, "processor_config.json") else {}
    settings = whole.get("image_processor")
    if settings is None:
        return read_json(root, "preprocessor_config.json")
    if not isinstance(settings, dict):
        raise CheckpointError(
            f"{root}/processor_config.json: image_processor should be an object, not {shown(settings)}"
        )
    return settings


def size_dict(name: str, size: Any) -> dict[str, int]:
    """Return `size` as a dict: a number is a square, a pair is height and width.

    Raises `InputError` for anything else, and for sizes beyond `MAX_EDGE` or `MAX_PIXELS`.
    """
    if isinstance(size, int):
        size = {"height": size, "width": size}
    elif isinstance(size, list | tuple) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if not (isinstance(size, Mapping) and set(size) in SIZES):
        choices = "; ".join(", ".join(sorted(keys)) for keys in SIZES)
        raise InputError(f"{name}={shown(size)} should be a number, (height, width), or a dict with the keys {choices}")
    edges = {key: whole(f"{name}[{key!r}]", value, 1, MAX_EDGE) for key, value in size.items()}
    if "height" in edges and edges["height"] * edges["width"] > MAX_PIXELS:
        raise InputError(f"{name}={edges} is too large; a picture has at most {MAX_PIXELS} pixels")
    return edges


def output_size(height: int, width: int, size: dict[str, int]) -> tuple[int, int]:
    """Return the (height, width) that `size` asks for a picture of that size; all but height and width keep the aspect ratio.

    >>> output_size(300, 400, {"shortest_edge": 150}), output_size(300, 400, {"max_height": 100, "max_width": 100})
    ((150, 200), (75, 100))

    Source: transformers' `PilBackend.resize`, `get_resize_output_image_size`, `get_size_with_aspect_ratio` and
    `get_image_size_for_max_height_width`, with their truncations.
    """
    if "height" in size:
        return size["height"], size["width"]
    if "max_height" in size:
        scale = min(size["max_height"] / height, size["max_width"] / width)
        return int(height * scale), int(width * scale)
    short, long = min(height, width), max(height, width)
    edge, exact = size["shortest_edge"], None
    if "longest_edge" in size and float(long) / float(short) * edge > size["longest_edge"]:
        exact = size["longest_edge"] * float(short) / float(long)
        edge = round(exact)
    if "longest_edge" in size and short == edge:
        return height, width
    other = int((edge if exact is None else exact) * long / short)
    return (other, edge) if width <= height else (edge, other)


def _filter(value: Any) -> int:
    """Return Pillow's number of a filter, given by number or by name ("bicubic", or torchvision's enumeration of names)."""
    value = getattr(value, "value", value)
    if isinstance(value, str):
        return RESAMPLE.index(choice("resample", value.lower(), RESAMPLE))
    return whole("resample", value, 0, len(RESAMPLE) - 1)


def _statistic(name: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, list | tuple):
        return tuple(number(name, one, -LARGEST_NUMBER, LARGEST_NUMBER) for one in value)
    return number(name, value, -LARGEST_NUMBER, LARGEST_NUMBER)


def _layout(name: str, value: Any) -> str:
    # transformers' ChannelDimension is an enumeration of these two strings.
    return choice(name, getattr(value, "value", value), ("channels_first", "channels_last"))
