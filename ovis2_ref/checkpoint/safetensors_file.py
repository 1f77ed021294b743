"""Read the safetensors format: eight bytes of length, a JSON header, and the numbers, one tensor at a time.

Format: https://huggingface.co/docs/safetensors. This is our own reader: the `safetensors` library (0.8.0) gives no bytes and no
offsets, only whole arrays, and those of bfloat16 only where `ml_dtypes` is imported. It maps the file into memory, so a file that
is cut short while it is open ends the process (SIGBUS). A header of 29 MB, which it accepts, takes 300 MB. Here a tensor is read
and converted block by block, and every entry of a header is checked before its use.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import IO, Any
from weakref import finalize

import numpy as np
from jaxtyping import Float, Num

from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import shown
from ovis2_ref.files.reading import open_regular, other_file, parse_json
from ovis2_ref.runtime.arrays import DTYPES, Array, array_module

HEADER_LIMIT = 4 * 2**20
"""Bytes: the longest published Ovis2 header takes 0.2 MB."""
BLOCK = 2**20
"""Numbers converted at a time: they fit the cache, and the loop's overhead stays small."""
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""The number types of the format, apart from those of less than a byte."""
WEIGHT_DTYPES = {
    "F64": DTYPES["float64"],
    "F32": DTYPES["float32"],
    "F16": DTYPES["float16"],
    "BF16": DTYPES["bfloat16"],
}
"""The number types that weights come in."""
STORED_DTYPES = {**WEIGHT_DTYPES, "I32": np.dtype(np.int32)}
"""The number types that are read: weights, and the words of packed ones."""


class StoredFile:
    """A file that stays open as long as this object lives and is read piece by piece, from any thread."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        """Read from `file`, opened from `path`."""
        self._file, self._path, self._lock = file, path, Lock()
        finalize(self, file.close)

    def read_into(self, array: np.ndarray, offset: int) -> None:
        """Fill the contiguous `array` with the bytes from `offset` on. Raises `CheckpointError` if there are too few of them."""
        left = array.reshape(-1).view(np.uint8).data
        with self._lock:
            self._file.seek(offset)
            while left:
                count = self._file.readinto(left)  # type: ignore[attr-defined]
                if not count:
                    raise CheckpointError(f"{self._path} was cut short after it was opened; is it still being written?")
                left = left[count:]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file: nothing of it is in memory until it is read.

    The file is read, not mapped into memory: truncating a mapped file kills the process (SIGBUS), and writing to it changes the
    weights.
    """

    key: str
    """Its name in the file."""
    kind: str
    """Its number type in the format's spelling, such as BF16."""
    shape: tuple[int, ...]
    offset: int
    """Where its first byte is, counted from the start of the file."""
    source: StoredFile

    @property
    def bytes(self) -> int:
        """How many bytes it takes in the file."""
        return math.prod(self.shape) * BITS[self.kind] // 8

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers."""
        return STORED_DTYPES[self.kind]

    def fault(self, shape: tuple[int, ...]) -> str | None:
        """Return why this can't be a weight of that shape; None if it can."""
        if self.shape != shape:
            return f"misshapen, {self.shape} where {shape} was expected"
        if self.kind not in WEIGHT_DTYPES:
            return f"stored as {self.kind}; one of {', '.join(WEIGHT_DTYPES)} expected"
        return None

    def third(self, index: int) -> "StoredTensor":
        """Return the first, second or last third of the rows."""
        rows = self.shape[0] // 3
        return replace(self, shape=(rows, *self.shape[1:]), offset=self.offset + index * self.bytes // 3)

    def read(self, dtype: np.dtype) -> Num[Array, "..."]:
        """Return the numbers as `dtype`, converted block by block, so that no second whole tensor is in memory.

        A number too large for `dtype` becomes infinite. Raises `CheckpointError` if the file has been cut short.
        """
        array = np.empty(self.shape, dtype)
        flat = array.reshape(-1)
        if dtype == self.dtype:
            self.source.read_into(flat, self.offset)
            return array
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self.blocks():
                flat[start : start + len(block)] = block
                start += len(block)
        return array

    def blocks(self) -> Iterator[Float[Array, " block"]]:
        """Yield the numbers as they are stored, a block at a time; each block takes the memory of the one before."""
        size = math.prod(self.shape)
        buffer = np.empty(min(BLOCK, size), self.dtype)
        for start in range(0, size, BLOCK):
            block = buffer[: size - start]
            self.source.read_into(block, self.offset + start * self.dtype.itemsize)
            yield block


def all_finite(array: Float[Array, "..."]) -> bool:
    """Return True if `array` holds neither an infinity nor a NaN; checked block by block."""
    flat = array.ravel(order="K")  # a view, also of a matrix that lies column by column
    xp = array_module(array)
    return all(bool(xp.isfinite(flat[start : start + BLOCK]).all()) for start in range(0, flat.size, BLOCK))


def open_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return every tensor of the file at `path`, by name, in file order. Raises as `open_with_metadata`."""
    tensors, _ = open_with_metadata(path)
    return {tensor.key: tensor for tensor in sorted(tensors.values(), key=_place)}


def open_with_metadata(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return every tensor of the file at `path`, by name, in the order of its header, and the texts of its `__metadata__`.

    Raises `CheckpointError` if the file is cut short, or its header is too long, no JSON object or invalid: an unknown number
    type, a shape that doesn't fill its bytes, tensors that overlap, leave a gap or end outside the file.
    """
    file = open_regular(path)
    source = StoredFile(file, path)
    size = file.seek(0, 2)
    if size < 10:
        raise CheckpointError(f"{path} holds {size} bytes; no safetensors file is that short")
    start = _bytes(source, 0, min(size, 64))
    if other := other_file(start):
        raise CheckpointError(f"{path} is {other}")
    length = int.from_bytes(start[:8], "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(f"{path}: its header claims {length} bytes; at most {HEADER_LIMIT} are read")
    if 8 + length > size:
        raise CheckpointError(f"{path} is cut short: its header claims {length} bytes, and {size - 8} follow")
    header = parse_json(_bytes(source, 8, length), f"{path}: the header")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: __metadata__ should hold texts by name, not {str(metadata)[:80]}")
    tensors = [_tensor(f"{path}: {key!r}", key, entry, 8 + length, source) for key, entry in header.items()]
    _expect_no_gaps(path, sorted(tensors, key=_place), 8 + length, size)
    return {tensor.key: tensor for tensor in tensors}, metadata


def _place(tensor: StoredTensor) -> tuple[int, int]:
    return tensor.offset, tensor.bytes


def _bytes(source: StoredFile, offset: int, count: int) -> bytes:
    array = np.empty(count, np.uint8)
    source.read_into(array, offset)
    return array.tobytes()


def _tensor(place: str, key: str, entry: Any, data: int, source: StoredFile) -> StoredTensor:
    """Return the tensor that a header's `entry` describes; the numbers of the file begin at byte `data`."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{place} should be described by dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in BITS:
        raise CheckpointError(f"{place} has the number type {str(kind)[:20]!r}; known are {', '.join(BITS)}")
    if not _whole_numbers(shape) or len(shape) > 8 or math.prod(max(edge, 1) for edge in shape) >= 2**60:
        raise CheckpointError(
            f"{place} has the shape {shown(shape)}; up to 8 whole numbers from 0 that make an array were expected"
        )
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise CheckpointError(f"{place} has data_offsets {str(offsets)[:80]}; two whole numbers from 0 were expected")
    tensor = StoredTensor(key, kind, tuple(shape), data + offsets[0], source)
    if offsets[1] - offsets[0] != tensor.bytes:
        raise CheckpointError(
            f"{place}: {kind} of shape {tensor.shape} can't lie in the bytes {offsets[0]} to {offsets[1]}"
        )
    return tensor


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _expect_no_gaps(path: Path, tensors: list[StoredTensor], start: int, size: int) -> None:
    """Raise `CheckpointError` unless the tensors fill the file from the header to its end."""
    end = start
    for tensor in tensors:
        if tensor.offset != end:
            what = "overlaps the tensor before it" if tensor.offset < end else "leaves a gap before it"
            raise CheckpointError(f"{path}: {tensor.key!r} {what}, at byte {tensor.offset} where {end} was expected")
        end += tensor.bytes
    if end != size:
        what = "is cut short" if end > size else "continues after its last tensor"
        raise CheckpointError(f"{path} {what}: its header describes {end} bytes, the file has {size}")
