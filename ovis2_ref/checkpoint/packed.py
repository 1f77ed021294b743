"""Weights that a checkpoint holds packed: find them among its tensors, check them, and give them as numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.checkpoint.gptq import dequantize, plain_zeros
from ovis2_ref.checkpoint.safetensors_file import StoredTensor
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import shown
from ovis2_ref.runtime.arrays import Array, array_module
from ovis2_ref.runtime.blocks import even_blocks
from ovis2_ref.runtime.threads import run_tasks

PARTS = ("qweight", "qzeros", "scales", "g_idx")
"""What a file has in place of the `weight` of a packed matrix."""
WIDTHS = (2, 4, 8)
"""Bits of a number. Numbers of 3 bits, which GPTQ has too, lie across two words."""
SCALES = ("F16", "BF16", "F32")
BLOCK = 2**20
"""Numbers unpacked at a time: their steps stay in the cache."""


class PackedWeight(NamedTuple):
    """A packed matrix in memory, on a CPU or a GPU; zero points as "gptq_v2" stores them."""

    qweight: Int[Array, "in_words out"]
    qzeros: Int[Array, "groups out_words"]
    scales: Float[Array, "groups out"]
    g_idx: Int[Array, " in"]
    bits: int

    def unpacked(self, dtype: np.dtype) -> Float[Array, "out in"]:
        """Return the matrix as `dtype`, rounded once; it lies column by column."""
        xp = array_module(self.qweight)
        words, outputs = self.qweight.shape
        numbers = 32 // self.bits
        columns = xp.empty((words * numbers, outputs), dtype=dtype)  # (in, out)

        def fill(rows: slice) -> None:
            inputs = slice(rows.start * numbers, rows.stop * numbers)
            part = self._replace(qweight=self.qweight[rows], g_idx=self.g_idx[inputs])
            with np.errstate(over="ignore", invalid="ignore"):
                columns[inputs] = dequantize(*part).T

        run_tasks([partial(fill, rows) for rows in even_blocks(words, min(words, -(-columns.size // BLOCK)))])
        return columns.T


@dataclass(frozen=True)
class PackedTensor:
    """A packed matrix that lies in a file, with what `StoredTensor` has."""

    key: str
    """Its name in the file, without the names of its parts."""
    qweight: StoredTensor
    qzeros: StoredTensor
    scales: StoredTensor
    g_idx: StoredTensor
    is_v2: bool
    """The file says that it stores z; else z - 1."""
    symmetric: bool
    """The file says that z is always the middle, 2^bits / 2: then the words show what they store, whatever the file says."""

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """The stored tensors."""
        return self.qweight, self.qzeros, self.scales, self.g_idx

    @property
    def bits(self) -> int:
        """Bits of a number, from the shapes; 0 if they don't fit each other."""
        inputs, words = self.shape[1], self.qweight.shape[0]
        return 0 if inputs == 0 or 32 * words % inputs else 32 * words // inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in) of the matrix; (0, 0) if its parts have other numbers of axes."""
        is_matrix = [len(part.shape) for part in self.parts] == [2, 2, 2, 1]
        return (self.qweight.shape[1], self.g_idx.shape[0]) if is_matrix else (0, 0)

    @property
    def kind(self) -> str:
        """How `inspect` calls it."""
        groups = max(1, *self.scales.shape[:1])
        return f"GPTQ of {self.bits} bits in groups of {-(-self.shape[1] // groups)}"

    @property
    def dtype(self) -> np.dtype:
        """The type of its scales, in which the programs that packed it compute."""
        return self.scales.dtype

    @property
    def bytes(self) -> int:
        """How many bytes it takes in the file."""
        return sum(part.bytes for part in self.parts)

    @property
    def source(self) -> Any:
        """The file that it lies in."""
        return self.qweight.source

    def fault(self, shape: tuple[int, ...]) -> str | None:
        """Return why this can't be a weight of that shape; None if it can."""
        if self.shape != shape:
            return f"misshapen, packed {self.shape} where {shape} was expected"
        if self.bits not in WIDTHS:
            return f"packed in {self.bits or 'unknown'} bits; GPTQ of {', '.join(map(str, WIDTHS))} bits can be read"
        groups, out = self.scales.shape[0], shape[0]
        packs_zeros = self.qzeros.shape == (groups, out * self.bits // 32) and out * self.bits % 32 == 0
        if self.scales.shape != (groups, out) or not packs_zeros or groups == 0:
            return (
                f"packed with scales {self.scales.shape} and zero points {self.qzeros.shape}, which don't fit {shape}"
            )
        kinds = [part.kind for part in self.parts]
        if kinds[0] != "I32" or kinds[1] != "I32" or kinds[3] != "I32" or kinds[2] not in SCALES:
            return f"packed as {', '.join(kinds)}; I32, I32, one of {', '.join(SCALES)}, and I32 were expected"
        return None

    def packed(self, xp: ModuleType = np) -> PackedWeight:
        """Return the packed matrix as arrays of `xp`. Raises `CheckpointError` for groups that it doesn't have."""
        qweight, qzeros, scales, g_idx = (part.read(part.dtype) for part in self.parts)
        if g_idx.size and not 0 <= int(g_idx.min()) <= int(g_idx.max()) < len(scales):
            raise CheckpointError(
                f"{self.key}.g_idx names groups from {g_idx.min()} to {g_idx.max()}; there are {len(scales)}, numbered from 0"
            )
        if not self._stores_zeros(qzeros):
            qzeros = plain_zeros(qzeros, self.bits)
        return PackedWeight(*map(xp.asarray, (qweight, qzeros, scales, g_idx)), self.bits)  # type: ignore[call-arg]

    def read(self, dtype: np.dtype) -> Float[Array, "out in"]:
        """Return the matrix as `dtype`. Raises `CheckpointError` as `packed` does, and if the file has been cut short."""
        return self.packed().unpacked(dtype)

    def blocks(self) -> Iterator[Float[Array, " numbers"]]:
        """Yield all of its numbers in the type of its scales."""
        yield self.read(self.dtype).reshape(-1)

    def _stores_zeros(self, qzeros: np.ndarray) -> bool:
        """Return True if the words hold z, False if z - 1. Some symmetric files hold the one and say the other."""
        less_one = np.full((1, 1), (2**32 - 1) // (2**self.bits - 1) * (2 ** (self.bits - 1) - 1), np.int32)
        if self.symmetric and (qzeros == less_one).all():
            return False
        return self.is_v2 or bool(self.symmetric and (qzeros == plain_zeros(less_one, self.bits)).all())


def with_packed(
    tensors: Mapping[str, StoredTensor], settings: Mapping[str, Any]
) -> dict[str, StoredTensor | PackedTensor]:
    """Return `tensors` with one weight in place of the parts of each packed matrix, whose parts are all there.

    `settings` is the checkpoint's `quantization_config`. Raises `CheckpointError` for a way of packing that isn't GPTQ's own.
    """
    modules = [name.removesuffix(f".{PARTS[0]}") for name in tensors if name.endswith(f".{PARTS[0]}")]
    modules = [module for module in modules if all(f"{module}.{part}" in tensors for part in PARTS)]
    if not modules:
        return dict(tensors)
    form = settings.get("checkpoint_format", settings.get("format", "gptq"))
    if form not in ("gptq", "gptq_v2"):
        raise CheckpointError(
            f"the weights are packed for other kernels (checkpoint_format {shown(form)}); save them as 'gptq' or 'gptq_v2'"
        )
    of_parts = {f"{module}.{part}" for module in modules for part in PARTS}
    found: dict[str, StoredTensor | PackedTensor] = {n: tensor for n, tensor in tensors.items() if n not in of_parts}
    for module in modules:
        if f"{module}.weight" in found:
            raise CheckpointError(f"{module} is there twice, packed and plain; a checkpoint has it once")
        qweight, qzeros, scales, g_idx = (tensors[f"{module}.{part}"] for part in PARTS)
        key = qweight.key.removesuffix(f".{PARTS[0]}")
        found[f"{module}.weight"] = PackedTensor(
            key, qweight, qzeros, scales, g_idx, form == "gptq_v2", settings.get("sym") is not False
        )
    return found
