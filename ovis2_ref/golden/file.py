"""The golden file: arrays by tap in execution order, and metadata of the run. README.md describes the format."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import ml_dtypes
import numpy as np

from ovis2_ref.checkpoint.safetensors_file import open_with_metadata
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import is_whole, shown
from ovis2_ref.files.reading import parse_json
from ovis2_ref.files.writing import replacing

VERSION = 1
ROWS = "@rows"
"""The end of the name of an array that says which rows of a tap were kept."""
KINDS = {
    "F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64), "I32": np.dtype(np.int32), "I16": np.dtype(np.int16), "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8), "BOOL": np.dtype(np.bool_),
}  # fmt: skip
"""The number types that a golden file may hold, in safetensors' spelling."""
SPELLINGS = {dtype: kind for kind, dtype in KINDS.items()}
ENTRIES = {
    "dtype": str, "convention": str, "device": str, "weights": str, "prompt": str,
    "config": dict, "generation_config": dict, "libraries": dict, "inputs": dict, "image_processor": dict, "rows": dict,
}  # fmt: skip
"""The entries of the metadata and what they are, where they are there."""
WORDS = {str: "a text", dict: "an object"}
MOST_ROWS = 2**40
STEP = 2**20
"""Bytes copied at a time."""


@dataclass(frozen=True)
class Golden:
    """The taps of one run, and the metadata of the run."""

    taps: Mapping[str, np.ndarray]
    """Arrays in execution order, read from the file at their look-up; with the `@rows` of partly kept ones."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The taps in execution order, without the `@rows`."""
        return [name for name in self.taps if not name.endswith(ROWS)]

    def rows(self, name: str) -> np.ndarray | None:
        """Return which rows of the tap were kept; None if all were."""
        return self.taps.get(name + ROWS)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array, without reading it where it lies in a file."""
        return self.taps.shape(name) if isinstance(self.taps, _Stored) else self.taps[name].shape

    def __contains__(self, name: str) -> bool:
        return name in self.taps


class _Stored(Mapping[str, np.ndarray]):
    """The arrays of a file, each read when it is looked up."""

    def __init__(self, path: Path) -> None:
        self._tensors, self.metadata = open_with_metadata(path.resolve())
        unknown = [tensor.key for tensor in self._tensors.values() if tensor.kind not in KINDS]
        if unknown:
            raise InputError(
                f"{path}: {unknown[0]!r} has a number type that golden files don't use; use {', '.join(KINDS)}"
            )

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self._tensors[name]
        array = np.empty(tensor.shape, KINDS[tensor.kind])
        tensor.source.read_into(array, tensor.offset)
        return array

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self._tensors[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def read_golden(path: str | Path) -> Golden:
    """Return the golden file at `path`. Raises `CheckpointError` if it is damaged, `InputError` if it is not of this format."""
    taps = _Stored(Path(path))
    text = taps.metadata.get("golden")
    metadata = {"version": VERSION} if text is None else parse_json(text.encode(), f"{path}: the metadata")
    if metadata.get("version") != VERSION:
        raise InputError(
            f"{path} is a golden file of version {metadata.get('version')!r:.80}; this program reads {VERSION}"
        )
    for entry, kind in ENTRIES.items():
        if not isinstance(metadata.get(entry), kind | None):
            raise InputError(f"{path}: {entry!r} in the metadata is {shown(metadata[entry])}, not {WORDS[kind]}")
    golden = Golden(taps, {name: value for name, value in metadata.items() if value is not None})
    for name in taps:
        if name.endswith(ROWS):
            _expect_rows(golden, name.removesuffix(ROWS), str(path))
    return golden


def _expect_rows(golden: Golden, name: str, path: str) -> None:
    """Raise `InputError` unless the rows that are kept of a tap are some of its rows, in order."""
    kept = golden.metadata.get("rows", {}).get(name)
    shape = kept.get("shape") if isinstance(kept, dict) else None
    if kept is not None and not (isinstance(shape, list) and 0 < len(shape) <= 8 and all(map(is_whole, shape))):
        raise InputError(
            f"{path}: the metadata of the rows of {name!r} has the shape {shown(shape)}, not a list of whole numbers"
        )
    if name not in golden or len(golden.shape(name)) != 2:
        raise InputError(
            f"{path}: {name + ROWS!r} is there, but no array {name!r} of two axes: the rows that were kept"
        )
    rows = golden.taps[name + ROWS]
    most = MOST_ROWS if shape is None else math.prod(shape[:-1])
    rising = (
        rows.ndim == 1 and rows.dtype.kind in "iu" and np.all(np.diff(rows) > 0) and len(rows) == golden.shape(name)[0]
    )
    if not (rising and len(rows) and rows[0] >= 0 and rows[-1] < most):
        raise InputError(
            f"{path}: {name + ROWS!r} should hold a rising index below {most} for each of the rows of {name!r}"
        )


def write_golden(path: str | Path, golden: Golden) -> None:
    """Write a golden file."""
    with GoldenWriter(path) as writer:
        for name, array in golden.taps.items():
            writer.add(name, array)
        writer.metadata = dict(golden.metadata)


class GoldenWriter:
    """Write a golden file tap by tap, with one array in memory at a time.

        with GoldenWriter("golden.safetensors") as writer:
            writer.add("pixel_values", pixels)
            writer.metadata = {"dtype": "float32"}

    The same arrays and the same metadata give the same bytes. The file appears when the block ends without an error.
    """

    def __init__(self, path: str | Path) -> None:
        """Prepare to write `path`. Raises `InputError` if its folder doesn't exist."""
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise InputError(f"{self._path} can't be written: there is no folder {self._path.parent}")
        self.metadata: dict[str, Any] = {}
        self._entries: dict[str, tuple[np.dtype, tuple[int, ...], int]] = {}
        self._bodies: dict[int, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def add(self, name: str, array: np.ndarray) -> None:
        """Append a tap. Raises `InputError` for a name that comes twice, or a number type that the format lacks."""
        if name in self._entries:
            raise InputError(f"the tap {name!r} comes twice; a second run of a module ends in #2")
        if array.dtype not in SPELLINGS:
            raise InputError(f"the tap {name!r} is {array.dtype}; a golden file holds {', '.join(map(str, SPELLINGS))}")
        size = array.dtype.itemsize
        if size not in self._bodies:
            self._bodies[size] = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115 (closed in __exit__)
        body = self._bodies[size]
        self._entries[name] = array.dtype, array.shape, body.tell()
        body.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with replacing(self._path, InputError) as file:
                    self._finish(file)
        finally:
            for body in self._bodies.values():
                body.close()

    def _finish(self, file: IO[bytes]) -> None:
        """Write the header, then the bodies, the widest numbers first, so that every array is aligned to its own numbers."""
        starts, end = {}, 0
        for size in sorted(self._bodies, reverse=True):
            starts[size] = end
            end += self._bodies[size].tell()
        metadata = {"version": VERSION, **self.metadata}
        header: dict[str, Any] = {"__metadata__": {"golden": json.dumps(metadata, sort_keys=True)}}
        for name, (dtype, shape, offset) in self._entries.items():
            start = starts[dtype.itemsize] + offset
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            header[name] = {"dtype": SPELLINGS[dtype], "shape": list(shape), "data_offsets": [start, start + size]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for size in starts:
            self._bodies[size].seek(0)
            while block := self._bodies[size].read(STEP):
                file.write(block)
