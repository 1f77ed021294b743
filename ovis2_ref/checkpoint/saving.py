"""Write what transformers loads: config.json, generation_config.json, and the weights in one safetensors file or in shards."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ovis2_ref.checkpoint.names import EMBEDDINGS, expected_shapes
from ovis2_ref.checkpoint.safetensors_file import WEIGHT_DTYPES
from ovis2_ref.checkpoint.weight_files import INDEX, SINGLE
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.writing import json_text, replacing, replacing_files, write_text
from ovis2_ref.runtime.arrays import Array, to_host

SHARD_BYTES = 5 * 10**9
"""Bytes of a file at most, unless a single weight is larger."""
WEIGHT_FILE = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
KINDS = {dtype: kind for kind, dtype in WEIGHT_DTYPES.items()}

Slots = dict[str, tuple[np.dtype, tuple[int, ...]]]


def save_checkpoint(
    folder: str | Path,
    config: Ovis2Config,
    weights: Mapping[str, Array],
    generation_config: Mapping[str, Any] | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a model into `folder` as transformers' `save_pretrained` does, in the type of its text table.

    Weights are looked up one at a time, so they may be drawn or streamed, from this folder too. A tied head isn't written. All
    files are written before the first of them replaces one in the folder; then the weight files of another model are removed.
    Raises `CheckpointError` if they can't be written, which leaves the folder unchanged, or if the configuration has the authors'
    negative placeholder ids, which transformers' layout can't express.
    """
    if config.image_token_id < 0:
        raise CheckpointError(
            "a model of convention 'original' has placeholder ids that transformers can't use; load it with "
            "convention='transformers' to save it"
        )
    dtype = weights[EMBEDDINGS].dtype
    slots = {name: (dtype, shape) for name, shape in expected_shapes(config).items()}
    with replacing_files(folder) as files:
        write_configs(files, config, dtype, generation_config or {})
        write_weights(files, slots, weights, max_shard_bytes)
        names = {path.name for path in files.iterdir()}
    for path in Path(folder).iterdir():
        if WEIGHT_FILE.fullmatch(path.name) and path.name not in names:
            path.unlink()


def write_configs(folder: Path, config: Ovis2Config, dtype: np.dtype, generation_config: Mapping[str, Any]) -> None:
    """Write config.json and generation_config.json. Both places of transformers' configuration say whether the head is tied."""
    config = replace(config, text_config=replace(config.text_config, tie_word_embeddings=config.tie_word_embeddings))
    values = {"architectures": ["Ovis2ForConditionalGeneration"], "dtype": dtype.name, **config.to_dict()}
    write_text(folder / "config.json", json_text(values))
    write_text(folder / "generation_config.json", json_text(generation_config))


def write_weights(folder: Path, slots: Slots, weights: Mapping[str, Array], max_shard_bytes: int = SHARD_BYTES) -> None:
    """Write `weights`, each with the type and shape of its slot, into one file or into shards with an index."""
    shards = _shards(slots, max_shard_bytes)
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    names = [SINGLE] if len(shards) == 1 else names
    for name, shard in zip(names, shards, strict=True):
        with replacing(folder / name) as file:
            for part in _file_parts(shard, weights):
                file.write(part)
        _check_readable(folder / name)
    if len(shards) > 1:
        places = {weight: name for name, shard in zip(names, shards, strict=True) for weight in shard}
        total = sum(_bytes(slot) for slot in slots.values())
        write_text(folder / INDEX, json_text({"metadata": {"total_size": total}, "weight_map": places}))


def _shards(slots: Slots, most: int) -> list[Slots]:
    """Return `slots` in their order, cut where a file would exceed `most` bytes."""
    shards: list[Slots] = [{}]
    size = 0
    for name, slot in slots.items():
        if size and size + _bytes(slot) > most:
            shards.append({})
            size = 0
        shards[-1][name] = slot
        size += _bytes(slot)
    return shards


def _file_parts(slots: Slots, weights: Mapping[str, Array]) -> Iterable[Any]:
    """Yield a safetensors file piece by piece: wide numbers first, so that every tensor is aligned to its own numbers."""
    order = sorted(slots, key=lambda name: -slots[name][0].itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        start, end = end, end + _bytes(slots[name])
        header[name] = {"dtype": KINDS[slots[name][0]], "shape": list(slots[name][1]), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        dtype, shape = slots[name]
        array = to_host(weights[name])
        if array.shape != shape:
            raise CheckpointError(f"{name} has the shape {array.shape}; the configuration says {shape}")
        yield np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data


def _check_readable(path: Path) -> None:
    """Let the format's own library open what was written. Raises `CheckpointError` if it can't."""
    try:
        with safe_open(path, framework="numpy") as file:
            file.keys()
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} was not written completely ({error}); check the disk") from error


def _bytes(slot: tuple[np.dtype, tuple[int, ...]]) -> int:
    dtype, shape = slot
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))
