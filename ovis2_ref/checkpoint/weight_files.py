"""Find the weights of a folder: one file, or shards; never a pickle, never a file outside the folder."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ovis2_ref.checkpoint.adapter import WEIGHTS as ADAPTER
from ovis2_ref.checkpoint.adapter import AdaptedTensor, with_adapter
from ovis2_ref.checkpoint.names import TEXT
from ovis2_ref.checkpoint.original import in_transformers_layout, transformers_name
from ovis2_ref.checkpoint.packed import PackedTensor, with_packed
from ovis2_ref.checkpoint.recognition import why_no_weights
from ovis2_ref.checkpoint.safetensors_file import HEADER_LIMIT, WEIGHT_DTYPES, StoredTensor, open_safetensors
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.reading import checked_folder, has_file, path_inside, read_json
from ovis2_ref.runtime.arrays import Array

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"(.{1,200})-\d{5}-of-(\d{5})\.safetensors")
MOST_SHARDS = 1000

PREFIXES = ("module.", "_orig_mod.", "base_model.model.")
"""What DistributedDataParallel, torch.compile and peft put in front of every name."""
NO_BIAS = ("o_proj.bias", "gate_proj.bias", "up_proj.bias", "down_proj.bias")
"""Biases that Qwen2 doesn't have, and that programs for GPTQ store as zeros."""

Tensor: TypeAlias = StoredTensor | PackedTensor | AdaptedTensor
"""A weight that is read when it is needed."""


class OpenedWeights(dict[str, Tensor]):
    """The weights of a folder by transformers' names, and what was done to find them."""

    def __init__(self, tensors: Mapping[str, Tensor], notes: list[str]) -> None:
        """Take the weights, and a sentence for each thing that a reader of the folder may not expect."""
        super().__init__(tensors)
        self.notes = notes


def open_weights(folder: str | Path, adapter: str | Path | None = None) -> OpenedWeights:
    """Return every weight in `folder` under transformers' name, from either layout, with nothing read but the headers.

    As in transformers, model.safetensors takes precedence over model.safetensors.index.json. Without both, all other safetensors
    files count, whatever their names. The adapter in the folder `adapter`, or in `folder` itself, is applied. Raises
    `CheckpointError` if there are no weights, or if a file is damaged or leads out of its folder.
    """
    root, notes = checked_folder(folder), list[str]()
    tensors = _without_prefixes(_stored_tensors(root), notes)
    if any(transformers_name(key) != key for key in tensors):
        tensors = in_transformers_layout(tensors)
    found: dict[str, Tensor] = {**with_packed(tensors, quantization_config(root))}
    for name in [name for name, tensor in found.items() if _is_left_over(name, tensor, found)]:
        del found[name]
        notes.append(f"{name} is no part of the model and changes nothing; it was left out")
    own = root if has_file(root, ADAPTER) or has_file(root, "adapter_model.bin") else None
    if own is not None and adapter is not None:
        raise CheckpointError(f"{root} has an adapter of its own, {ADAPTER}; move it away to apply {str(adapter)!r}")
    place = own if adapter is None else checked_folder(adapter)
    if place is not None:
        found = {**with_adapter(found, place)}
        notes.append(f"the adapter in {place} was applied (LoRA)")
    return OpenedWeights(found, notes)


def is_packed(tensor: Tensor) -> bool:
    """Return True for a packed weight, with an adapter on top or without."""
    return isinstance(tensor.base if isinstance(tensor, AdaptedTensor) else tensor, PackedTensor)


def _without_prefixes(tensors: dict[str, StoredTensor], notes: list[str]) -> dict[str, StoredTensor]:
    """Return `tensors` without what training programs put in front of all of their names."""
    for prefix in PREFIXES * 2:  # one inside another
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
            notes.append(f"all weights are called {prefix}...; this prefix was taken off")
    return tensors


def _is_left_over(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Return True for a buffer of angles, which the model computes, and for zeros as the bias of a packed layer without one."""
    if name.endswith("rotary_emb.inv_freq"):
        return True
    layer = tensors.get(name.removesuffix("bias") + "weight")
    if not (name.startswith(TEXT) and name.endswith(NO_BIAS) and isinstance(layer, PackedTensor)):
        return False
    return (
        isinstance(tensor, StoredTensor) and tensor.kind in WEIGHT_DTYPES and not any(b.any() for b in tensor.blocks())
    )


def quantization_config(root: Path) -> dict[str, Any]:
    """Return how the weights in `root` are packed, as config.json or quantize_config.json says; nothing if neither does."""
    for name, part in (("config.json", "quantization_config"), ("quantize_config.json", None)):
        values: Any = read_json(root, name) if has_file(root, name) else {}
        values = values if part is None else values.get(part)
        if isinstance(values, dict) and values:
            return values
    return {}


class StoredWeights(Mapping[str, Array]):
    """Stored tensors as arrays of the types in which they are stored, each read when it is looked up."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Look into `tensors`."""
        self._tensors = tensors

    def __getitem__(self, name: str) -> Array:
        """Return the weight called `name`."""
        return self._tensors[name].read(self._tensors[name].dtype)

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Return the number of weights."""
        return len(self._tensors)


def has_weights(folder: str | Path) -> bool:
    """Return True if `folder` holds safetensors weights, sound or not."""
    return has_file(folder, SINGLE) or has_file(folder, INDEX) or bool(_loose_files(Path(folder)))


def _stored_tensors(root: Path) -> dict[str, StoredTensor]:
    """Return the tensors of all weight files by their names there."""
    if has_file(root, SINGLE):
        return open_safetensors(path_inside(root, SINGLE))
    if has_file(root, INDEX):
        return _open_shards(root)
    tensors: dict[str, StoredTensor] = {}
    names = _loose_files(root)
    _expect_all_shards(root, names)
    for name in names:
        found = open_safetensors(path_inside(root, name))
        twice = sorted(set(found) & set(tensors))
        if twice:
            raise CheckpointError(
                f"{root} has no {INDEX}, and two of its files hold {twice[0]!r}: keep the files of one model"
            )
        tensors |= found
    if not tensors:
        cause = why_no_weights(root) or "is it a checkpoint folder, and is the download complete?"
        raise CheckpointError(f"{root} holds neither {SINGLE} nor {INDEX}; {cause}")
    return tensors


def _loose_files(root: Path) -> list[str]:
    """Return the safetensors files of a folder without an index, in order."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.name.endswith(".safetensors"))
    except OSError as error:
        raise CheckpointError(f"{root} can't be listed ({error.strerror})") from error
    names = [name for name in names if name != ADAPTER]
    if len(names) > MOST_SHARDS:
        raise CheckpointError(f"{root} holds {len(names)} safetensors files; at most {MOST_SHARDS} are read")
    return names


def _expect_all_shards(root: Path, names: list[str]) -> None:
    """Raise `CheckpointError` unless all shards are among `names` where one of these says how many there are."""
    match = next((match for name in names if (match := SHARD.fullmatch(name))), None)
    for number in range(1, min(int(match[2]), MOST_SHARDS) + 1) if match else ():
        name = f"{match[1]}-{number:05d}-of-{match[2]}.safetensors"  # type: ignore[index]
        if name not in names:
            raise CheckpointError(f"{root} lacks {name}, one of {int(match[2])} shards; download it")  # type: ignore[index]


def _open_shards(root: Path) -> dict[str, StoredTensor]:
    """Return the tensors of all shards; each has to be in the one where the index says it is."""
    places = read_json(root, INDEX, HEADER_LIMIT).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{root / INDEX} has no weight_map from names to files")
    shards = sorted(set(places.values()))
    strangers = [shard for shard in shards if not shard.endswith(".safetensors")]
    if strangers or len(shards) > MOST_SHARDS:
        raise CheckpointError(
            f"{root / INDEX} names {strangers[:1] or len(shards)} as shards; safetensors files were expected"
        )
    tensors: dict[str, StoredTensor] = {}
    for shard in shards:
        found = open_safetensors(path_inside(root, shard))
        elsewhere = [key for key in found if places.get(key) != shard]
        if elsewhere:
            raise CheckpointError(f"{shard} holds {elsewhere[:5]}, which {INDEX} does not place there")
        tensors |= found
    absent = [key for key in places if key not in tensors]
    if absent:
        raise CheckpointError(
            f"{INDEX} places {absent[:5]} in {places[absent[0]]!r}, which lacks {'it' if len(absent) == 1 else 'them'}"
        )
    return tensors
