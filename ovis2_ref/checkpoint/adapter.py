"""LoRA adapters (Hu et al., 2022), as peft saves them: W + s B A in place of a weight W, added when W is read.

An adapter's folder holds adapter_config.json and adapter_model.safetensors, with `lora_A` (r, in) and `lora_B` (out, r) of each
changed matrix, and whole modules that were trained (`modules_to_save`). s = alpha / r, or alpha / sqrt(r) with `use_rslora`
(Kalajdzievski, 2023). What peft knows beyond that is refused by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, TEXT
from ovis2_ref.checkpoint.original import transformers_name
from ovis2_ref.checkpoint.packed import PackedTensor, PackedWeight
from ovis2_ref.checkpoint.safetensors_file import WEIGHT_DTYPES, StoredTensor, open_safetensors
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import number, shown
from ovis2_ref.files.reading import path_inside, read_json
from ovis2_ref.runtime.arrays import DTYPES, Array

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
FACTORS = ("lora_A", "lora_B")
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
"""Characters of a module's name."""
READABLE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (False, None),
    "bias": ("none", None),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "use_qalora": (False, None),
    **dict.fromkeys(("layer_replication", "trainable_token_indices", "target_parameters", "megatron_config"), (None, [], {})),
    "alora_invocation_tokens": (None, []),
}  # fmt: skip
"""Settings that change what an adapter computes, and the values that W + s B A covers. PiSSA and OLoRA change W, too."""


@dataclass(frozen=True)
class AdaptedTensor:
    """A stored weight with an adapter's product on top, with what `StoredTensor` has."""

    base: StoredTensor | PackedTensor
    a: StoredTensor
    b: StoredTensor
    scale: float

    @property
    def key(self) -> str:
        """The name of the weight in its file."""
        return self.base.key

    @property
    def kind(self) -> str:
        """How the weight is stored."""
        return self.base.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in) of the weight."""
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the stored weight."""
        return self.base.dtype

    @property
    def bytes(self) -> int:
        """How many bytes all of it takes in the files."""
        return self.base.bytes + self.a.bytes + self.b.bytes

    @property
    def source(self) -> Any:
        """The file of the weight."""
        return self.base.source

    def fault(self, shape: tuple[int, ...]) -> str | None:
        """Return why this can't be a weight of that shape; None if it can."""
        if self.a.shape[1:] != shape[1:] or self.b.shape != (*shape[:1], *self.a.shape[:1]):
            return f"adapted by {self.b.shape} times {self.a.shape}, which don't make {shape}"
        if not {self.a.kind, self.b.kind} <= set(WEIGHT_DTYPES):
            return f"adapted by {self.b.kind} times {self.a.kind}; one of {', '.join(WEIGHT_DTYPES)} expected"
        return self.base.fault(shape)

    def read(self, dtype: np.dtype) -> Float[Array, "out in"]:
        """Return W + s B A as `dtype`, computed in float32 (float64 for float64) and rounded once."""
        return self._loaded(np, self.base).unpacked(dtype)

    def packed(self, xp: ModuleType = np) -> "AdaptedWeight":
        """Return the factors as arrays of `xp`, with the weight as it is packed."""
        assert isinstance(self.base, PackedTensor)
        return self._loaded(xp, self.base.packed(xp))

    def blocks(self) -> Iterator[Float[Array, " numbers"]]:
        """Yield all numbers in the type of the stored weight."""
        yield self.read(self.dtype).reshape(-1)

    def _loaded(self, xp: ModuleType, base: Any) -> "AdaptedWeight":
        a, b = (xp.asarray(part.read(part.dtype)) for part in (self.a, self.b))
        return AdaptedWeight(base, a, b, self.scale)


class AdaptedWeight(NamedTuple):
    """A weight and an adapter's factors in memory; the weight packed, or still in its file."""

    base: StoredTensor | PackedTensor | PackedWeight
    a: Float[Array, "r in"]
    b: Float[Array, "out r"]
    scale: float

    def unpacked(self, dtype: np.dtype) -> Float[Array, "out in"]:
        """Return W + s B A as `dtype`."""
        wide = DTYPES["float64"] if dtype == DTYPES["float64"] else DTYPES["float32"]
        w = self.base.unpacked(wide) if isinstance(self.base, PackedWeight) else self.base.read(wide)
        with np.errstate(over="ignore", invalid="ignore"):
            return adapted(w, self.a.astype(wide), self.b.astype(wide), self.scale).astype(dtype, copy=False)


def adapted(
    w: Float[Array, "out in"], a: Float[Array, "r in"], b: Float[Array, "out r"], scale: float
) -> Float[Array, "out in"]:
    """W + s B A (Hu et al., 2022, eq. 3)."""
    return w + scale * (b @ a)


def with_adapter(tensors: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the stored weights `tensors`, by transformers' names, with the adapter in `folder` applied.

    Raises `CheckpointError` for an adapter that is damaged, that isn't LoRA alone, or that changes another model's weights.
    """
    settings = read_json(folder, SETTINGS)
    for name, values in READABLE.items():
        value = settings.get(name, values[0])
        if not any(type(value) is type(known) and value == known for known in values):
            raise CheckpointError(
                f"{folder}: the adapter has {name}={shown(value)}, which is not read here; merge it with peft "
                "(merge_and_unload), and save the model"
            )
    stored = open_safetensors(path_inside(folder, WEIGHTS))
    if not stored:
        raise CheckpointError(f"{folder / WEIGHTS} is empty")
    found = dict(tensors)
    modules = {key: _module(key.removeprefix(PREFIX)) for key in stored}
    for key in (key for key, (_, factor) in modules.items() if factor is None):
        for name, place in _targets(modules[key][0], tensors, folder):
            found[name] = _part(stored[key], place)
    if found.get(EMBEDDINGS) is not tensors.get(EMBEDDINGS):
        found.setdefault(HEAD, tensors[EMBEDDINGS])  # a tied head keeps the weights that it had
    for module in dict.fromkeys(module for module, factor in modules.values() if factor):
        a, b = _factors(stored, module, folder)
        scale = _scale(settings, module, a.shape[0], folder)
        for name, place in _targets(f"{module}.weight", tensors, folder):
            base = found[EMBEDDINGS if name not in found else name]  # a tied head isn't stored
            found[name] = AdaptedTensor(base, a, _part(b, place), scale)
    return found


def _part(tensor: StoredTensor, place: int | None) -> StoredTensor:
    """Return a third of a tensor, or the whole one for None, or where it has no rows (then it is misshapen)."""
    return tensor if place is None or not tensor.shape else tensor.third(place)


def _factors(stored: Mapping[str, StoredTensor], module: str, folder: Path) -> tuple[StoredTensor, StoredTensor]:
    """Return A and B of a module. Raises `CheckpointError` unless both are there, and are matrices."""
    names = [f"{module}.{factor}.weight" for factor in FACTORS]
    found = [stored.get(f"{PREFIX}{name}", stored.get(name)) for name in names]
    a, b = found
    if a is None or b is None or len(a.shape) != 2 or len(b.shape) != 2 or 0 in a.shape:
        raise CheckpointError(f"{folder}: {shown(module)} needs two matrices, lora_A (r, in) and lora_B (out, r)")
    return a, b


def _module(key: str) -> tuple[str, str | None]:
    """Return the module and the factor (`lora_A`, `lora_B`) that `key` names; of a whole weight its own name, and None."""
    for factor in FACTORS:
        if key.endswith(f".{factor}.weight"):
            return key.removesuffix(f".{factor}.weight"), factor
    return key.replace(".base_layer.", "."), None


def _targets(key: str, tensors: Mapping[str, Any], folder: Path) -> list[tuple[str, int | None]]:
    """Return the weights that an entry of the adapter changes, and which third of a fused one each is (None: not fused).

    An adapter of the language model alone names its modules from there.
    """
    for name in (transformers_name(key), f"{TEXT}.{key.removeprefix('model.')}"):
        fused = {name.replace(".qkv.", f".{part}_proj."): place for place, part in enumerate("qkv")}
        parts: dict[str, int | None] = dict(fused) if ".qkv." in name else {name: None}
        if set(parts) <= ({*tensors, HEAD} if EMBEDDINGS in tensors else set(tensors)):
            return list(parts.items())
    raise CheckpointError(
        f"{folder}: the adapter changes {shown(key)}, which this model doesn't have, or which can't be changed here"
    )


def _scale(settings: Mapping[str, Any], module: str, rank: int, folder: Path) -> float:
    """Return alpha / r, or alpha / sqrt(r), with the module's own alpha where `alpha_pattern` names it."""

    def fault(text: str) -> CheckpointError:
        return CheckpointError(f"{folder}/{SETTINGS}: {text}")

    alpha, patterns = settings.get("lora_alpha", 8), settings.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping) or not all(set(key) <= NAME for key in patterns):
        raise fault(f"alpha_pattern={shown(patterns)} should name modules, without regular expressions")
    alpha = next((value for key, value in patterns.items() if f".{module}".endswith(f".{key}")), alpha)
    return number("alpha", alpha, -1e9, 1e9, fault) / (rank**0.5 if settings.get("use_rslora") else rank)
