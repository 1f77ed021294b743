"""Load a configuration and weights from a checkpoint folder: whole, or each weight when it is needed.

One error lists everything that is wrong with the weights.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ovis2_ref.checkpoint.adapter import AdaptedWeight
from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, expected_shapes
from ovis2_ref.checkpoint.original import original_config
from ovis2_ref.checkpoint.packed import PackedWeight
from ovis2_ref.checkpoint.recognition import why_no_fit, why_no_weights
from ovis2_ref.checkpoint.safetensors_file import WEIGHT_DTYPES, StoredTensor, all_finite
from ovis2_ref.checkpoint.weight_files import OpenedWeights, Tensor, has_weights, is_packed, open_weights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.config.generations import expect_ovis2
from ovis2_ref.convention import Convention, as_convention
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.reading import checked_folder, has_file, read_json
from ovis2_ref.runtime.arrays import Array, as_dtype
from ovis2_ref.runtime.memory import available_memory
from ovis2_ref.text.layout import ORIGINAL_IDS

MOST_NAMED = 200
"""Faults that one message lists; it counts the rest."""


def read_config(
    folder: str | Path, convention: str | Convention = "transformers", adapter: str | Path | None = None
) -> Ovis2Config:
    """Return the configuration in `folder`, of transformers' layout (model_type ovis2) or the authors' (ovis).

    Under convention "original" the placeholders have the authors' ids, whatever the layout. `tie_word_embeddings` describes
    the stored weights, or those that `adapter` makes of them: see `_head_is_tied`.
    Raises `CheckpointError` for a folder without a readable config.json, `ConfigError` for one of another model.
    """
    root = checked_folder(folder)
    convention = as_convention(convention)
    if not has_file(root, "config.json") and (cause := why_no_weights(root)):
        raise CheckpointError(f"{root} has no config.json; {cause}")
    values = read_json(root, "config.json")
    expect_ovis2(values, root)
    layout = values.get("model_type")
    if layout == "ovis":
        config = original_config(values, root, convention)
    elif layout == "ovis2":
        config = Ovis2Config.from_dict(values)
    else:
        raise CheckpointError(
            f"{root}/config.json is of model_type {layout!r}; Ovis2 is 'ovis2', or 'ovis' as its authors write it"
        )
    if not convention.placeholders_in_vocabulary:
        atom, *indicators = ORIGINAL_IDS.values()
        config = replace(config, image_token_id=atom, visual_indicator_token_ids=indicators)
    if not has_weights(root):
        return config
    tied = _head_is_tied(config, open_weights(root, adapter))
    return replace(config, tie_word_embeddings=tied, text_config=replace(config.text_config, tie_word_embeddings=tied))


def read_generation_config(folder: str | Path) -> dict[str, Any]:
    """Return the values in generation_config.json of `folder`, unchecked; an empty dict if there is none."""
    return read_json(folder, "generation_config.json") if has_file(folder, "generation_config.json") else {}


def stored_dtype(folder: str | Path) -> str:
    """Return the type that the text embeddings are stored in, by name: what `dtype="auto"` means."""
    return np.dtype(WEIGHT_DTYPES[open_weights(folder)[EMBEDDINGS].kind]).name


def load_weights(
    folder: str | Path,
    config: Ovis2Config,
    dtype: str | np.dtype = "float32",
    device_module: ModuleType = np,
    progress: bool = False,
    adapter: str | Path | None = None,
) -> dict[str, Array]:
    """Return the weights in `folder` by transformers' names, as `dtype` arrays of `device_module`, in the order of their use.

    A tied output head is left out. Each weight is read into memory and converted, one at a time: the file may change afterwards.
    `progress` shows a bar on a terminal; `adapter` is the folder of an adapter to apply.
    Raises `CheckpointError` that names every weight that is missing, too many, of another shape or not finite.
    """
    tensors, shapes = open_weights(folder, adapter), expected_shapes(config)
    faults = find_faults(tensors, shapes)
    weights: dict[str, Array] = {}
    for name in _shown([name for name in shapes if name in tensors and name not in faults], tensors, progress):
        array = tensors[name].read(as_dtype(dtype))
        if not all_finite(array):
            faults[name] = not_finite(array.dtype, array.shape)
        elif not faults:
            weights[name] = device_module.asarray(array)
    raise_faults(folder, faults)
    _tell(folder, tensors)
    return weights


class StreamedWeights(Mapping[str, Array]):
    """The weights in a folder, by transformers' names, equal to those that `load_weights` gives, with little in memory.

    Only the text table stays in memory, since every step of a generation reads it, and, with `keep_packed`, packed weights as
    they are packed; other weights as long as the caller keeps them.
    """

    def __init__(
        self,
        folder: str | Path,
        config: Ovis2Config,
        dtype: str | np.dtype = "float32",
        device_module: ModuleType = np,
        keep_packed: bool = False,
        adapter: str | Path | None = None,
    ) -> None:
        """Read only the headers. Raises `CheckpointError` as `load_weights` does; at look-up for a weight that isn't finite."""
        self._folder, self._adapter, self._dtype, self._xp = folder, adapter, as_dtype(dtype), device_module
        self._config, self._shapes, self._keep_packed = config, expected_shapes(config), keep_packed
        self._tensors = open_weights(folder, adapter)
        raise_faults(folder, find_faults(self._tensors, self._shapes))
        _tell(folder, self._tensors)
        self._kept: dict[str, Array] = {}
        self._packed: dict[str, PackedWeight | AdaptedWeight] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies and pickles open the folder again."""
        place = (self._folder, self._config, self._dtype.name, self._xp.__name__, self._keep_packed, self._adapter)
        return _reopened, place

    def __getitem__(self, name: str) -> Array:
        """Return the weight called `name`, fresh from the file."""
        if name in self._kept:
            return self._kept[name]
        if name in self._packed:
            return self._packed[name].unpacked(self._dtype)
        if name not in self._shapes:
            raise KeyError(name)
        tensor = self._tensors[name]
        if self._keep_packed and is_packed(tensor) and not isinstance(tensor, StoredTensor):
            self._packed[name] = tensor.packed(self._xp)
            array = self._packed[name].unpacked(self._dtype)
        else:
            array = self._xp.asarray(tensor.read(self._dtype))
        if not all_finite(array):
            raise_faults(self._folder, {name: not_finite(array.dtype, array.shape)})
        if name == EMBEDDINGS:
            self._kept[name] = array
        return array

    def __contains__(self, name: object) -> bool:
        """Return True if there is a weight called `name`."""
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        """Return the names, in the order in which a model uses them."""
        return iter(self._shapes)

    def __len__(self) -> int:
        """Return how many weights there are."""
        return len(self._shapes)


def keeps_packed(folder: str | Path, config: Ovis2Config, dtype: np.dtype, asked: bool | None) -> bool:
    """Return whether packed weights in `folder` stay packed in memory: as `asked`; for None, if all weights would not fit."""
    if asked is False or not any(map(is_packed, open_weights(folder).values())):
        return False
    size = dtype.itemsize * sum(math.prod(shape) for shape in expected_shapes(config).values())
    free = available_memory()
    return asked is True or (free is not None and size > free)


def find_faults(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return the faults that the headers of `tensors` show, by name. A stored head that isn't needed is no fault."""
    faults = {name: f"missing, shape {shape} expected" for name, shape in shapes.items() if name not in tensors}
    for name, tensor in tensors.items():
        if name not in shapes:
            if name != HEAD:
                faults[name] = f"extra, not a part of this model (shape {tensor.shape})"
        elif fault := tensor.fault(shapes[name]):
            faults[name] = fault
    return faults


def not_finite(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """Return the fault of a weight that holds NaN or an infinity."""
    return f"not finite as {dtype} (shape {shape})"


def raise_faults(folder: str | Path, faults: Mapping[str, str]) -> None:
    """Raise `CheckpointError` that lists `faults`, unless there are none."""
    if not faults:
        return
    lines = [f"  {ascii(name)[1:-1]}: {fault}" for name, fault in list(faults.items())[:MOST_NAMED]]
    if len(faults) > MOST_NAMED:
        lines.append(f"  and {len(faults) - MOST_NAMED} more")
    cause = why_no_fit(folder, open_weights(folder))
    reason = f" ({cause})" if cause else ""
    raise CheckpointError(f"{folder}: {len(faults)} weights don't fit config.json{reason}:\n" + "\n".join(lines))


def _reopened(folder: Any, config: Ovis2Config, dtype: str, module: str, keep: bool, adapter: Any) -> StreamedWeights:
    return StreamedWeights(folder, config, dtype, import_module(module), keep, adapter)


def _tell(folder: str | Path, tensors: OpenedWeights) -> None:
    """Warn, in one line, of what the reader of a folder may not expect."""
    if tensors.notes:
        more = f", and {len(tensors.notes) - 1} more of the kind" if len(tensors.notes) > 1 else ""
        warnings.warn(f"{folder}: {tensors.notes[0]}{more}", stacklevel=4)


def _head_is_tied(config: Ovis2Config, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the output head is the text table.

    A stored head that differs from the table is used, whatever the configuration says (as in transformers 5; 4.56 overwrites
    it). Without a stored head, either configuration may call it tied: transformers 4.56 reads text_config, 5 the whole one.
    """
    claimed = config.tie_word_embeddings or config.text_config.tie_word_embeddings
    head, table = tensors.get(HEAD), tensors.get(EMBEDDINGS)
    if not claimed or head is None or table is None:
        return claimed
    if not (isinstance(head, StoredTensor) and isinstance(table, StoredTensor)):
        return False  # packed or adapted: it is a matrix of its own
    if (head.shape, head.kind) != (table.shape, table.kind) or head.kind not in WEIGHT_DTYPES:
        return False
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(head.blocks(), table.blocks(), strict=True))


def _shown(names: list[str], tensors: Mapping[str, Tensor], progress: bool) -> Any:
    """Return `names`, with a progress bar in bytes if `progress` is true and stderr is a terminal."""
    if not progress:
        return names
    from tqdm import tqdm

    total = sum(tensors[name].bytes for name in names)
    bar = tqdm(total=total, desc="loading weights", unit="B", unit_scale=True, disable=None, leave=False)

    def moving() -> Any:
        with bar:
            for name in names:
                yield name
                bar.update(tensors[name].bytes)

    return moving()
