"""Check the arguments of the model: one table says what each array may be, and which axes have to be equally long.

Lists become arrays on the model's device. A message names the argument, the given value and the expected one.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import LARGEST_WHOLE, is_whole, shown, whole
from ovis2_ref.language.cache import KVCache, StaticCache
from ovis2_ref.runtime.arrays import Array, array_module, to_device
from ovis2_ref.runtime.tape import is_recorded


class ArrayArgument(NamedTuple):
    """What an array argument may be."""

    numbers: str
    """NumPy's letters of the kinds of numbers: i and u whole, f float (bfloat16 counts as one), b booleans."""
    axes: tuple[str, ...]
    """The names of the axes; a name means the same length in all arguments."""


NUMBER_KINDS = {"iu": "whole numbers", "f": "floats", "fiu": "numbers", "iufb": "numbers or booleans"}


ARRAYS = {
    "input_ids": ArrayArgument("iu", ("batch", "tokens")),
    "inputs_embeds": ArrayArgument("f", ("batch", "tokens", "hidden")),
    "pixel_values": ArrayArgument("fiu", ("tiles", "channels", "height", "width")),
    "attention_mask": ArrayArgument("iufb", ("batch", "past + tokens")),
    "position_ids": ArrayArgument("iu", ("batch", "tokens")),
    "labels": ArrayArgument("iu", ("batch", "tokens")),
    "image_features": ArrayArgument("f", ("tiles", "visual tokens", "hidden")),
    "hidden": ArrayArgument("f", ("batch", "tokens", "hidden")),
    "sequences": ArrayArgument("iu", ("rows", "tokens")),
    "scores": ArrayArgument("f", ("rows", "vocabulary")),
    "beam_indices": ArrayArgument("iu", ("rows", "steps")),
}
"""The array arguments. An attention mask may also have four axes; `layer_masks` checks such a mask."""

MAY_BE_EMPTY = ("past + tokens", "visual tokens")


def checked_array(name: str, value: Any, xp: ModuleType) -> Any:
    """Return the argument called `name` as an array of `xp`, None if it is None. Raises `InputError` unless it is of its kind."""
    if value is None:
        return None
    expected = ARRAYS[name]
    wanted = f"{NUMBER_KINDS[expected.numbers]} ({', '.join(expected.axes)})"
    array = _device_array(name, value, wanted, xp)
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    is_whole_mask = name == "attention_mask" and array.ndim == 4
    if ("f" if is_float else array.dtype.kind) not in expected.numbers or not (
        array.ndim == len(expected.axes) or is_whole_mask
    ):
        raise InputError(f"{name} should be {wanted}, not {array.dtype} of shape {array.shape}")
    return array


def checked_arrays(model: Any, cache: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in `given` as arrays on the model's device. Raises `InputError` for those that don't fit it or
    each other.
    """
    vision, text = model.config.vision_config, model.config.text_config
    lengths = {"channels": vision.num_channels, "height": vision.image_size, "width": vision.image_size}
    lengths["hidden"] = text.hidden_size
    if cache is not None:
        lengths["batch"] = cache_batch(model, cache)
    arrays = {name: checked_array(name, value, model.xp) for name, value in given.items()}
    for name, array in arrays.items():
        if array is not None and array.ndim == len(ARRAYS[name].axes):
            _fit(name, array, lengths)
        if "tokens" in lengths:
            lengths["past + tokens"] = lengths["tokens"] if cache is None else cache.length_after(lengths["tokens"])
    empty = [axis for axis, length in lengths.items() if length == 0 and axis not in MAY_BE_EMPTY]
    if empty:
        raise InputError(
            f"there are no {empty[0]}{' in the batch' if empty[0] == 'tokens' else ''}: nothing can be computed"
        )
    positions = arrays.get("position_ids")
    if positions is not None and array_module(positions) is np and positions.size:
        farthest = max(int(positions.max()), -int(positions.min()))
        whole("the largest of position_ids", farthest, -LARGEST_WHOLE)
    return arrays


def check_labels(labels: Array, logits: Array, vocabulary: int) -> None:
    """Raise `InputError` for `labels` (batch, tokens) that aren't -100 or tokens, or don't fit `logits`."""
    if labels.shape != logits.shape[:2]:
        raise InputError(
            f"labels of the shape {labels.shape} don't fit logits of the shape {logits.shape}: a label is needed for each token; "
            "with labels, leave logits_to_keep out"
        )
    outside = (labels != -100) & ((labels < 0) | (labels >= vocabulary))
    if bool(outside.any()):
        raise InputError(
            f"labels hold {int(labels[outside][0])}; each should be -100 or a token from 0 to {vocabulary - 1}"
        )


def kept_tokens(logits_to_keep: Any, tokens: int, xp: ModuleType) -> Any:
    """Return the index of the tokens whose logits are wanted: the last so many (0: all), or those with the given indices."""
    if is_whole(logits_to_keep):
        return slice(-whole("logits_to_keep", logits_to_keep), None)
    return _checked_indices(_device_array("logits_to_keep", logits_to_keep, "a number, or whole numbers", xp), tokens)


def _checked_indices(indices: Array, tokens: int) -> Int[Array, " kept"]:
    """Return `indices`. Raises `InputError` for an index of no token, which CuPy would wrap around."""
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(
            f"logits_to_keep should be a number or whole numbers in one dimension, not {indices.dtype} of shape {indices.shape}"
        )
    if indices.size and (int(indices.min()) < -tokens or int(indices.max()) >= tokens):
        raise InputError(
            f"logits_to_keep has indices from {int(indices.min())} to {int(indices.max())}; "
            f"{tokens} tokens were given, so they run from {-tokens} to {tokens - 1}"
        )
    return indices


def _device_array(name: str, value: Any, wanted: str, xp: Any) -> Array:
    """Return `value`, an array or nested lists, as an array of `xp`. Raises `InputError` for what isn't one of numbers."""
    try:
        array = value if is_recorded(value) else to_device(value, xp)
    except Exception as error:
        raise InputError(f"{name} should be an array of {wanted}, not {shown(value)} ({error!s:.100})") from error
    if array.dtype.kind in "OSUM":
        raise InputError(f"{name} should be an array of {wanted}, not {shown(value)}")
    return array


def _fit(name: str, array: Array, lengths: dict[str, int]) -> None:
    """Compare the shape of `array` with the lengths set by the model and earlier arguments, and add its own lengths."""
    axes = ARRAYS[name].axes
    for length, axis in zip(array.shape, axes, strict=True):
        if length != lengths.setdefault(axis, length) and not (
            name == "position_ids" and axis == "batch" and length == 1
        ):
            expected = ", ".join(f"{axis} {lengths.get(axis, 'any')}" for axis in axes)
            raise InputError(f"{name} has the shape {array.shape}; the model and the other arguments take ({expected})")


def cache_batch(model: Any, cache: Any) -> int:
    """Return the number of sequences in `cache`, which has to be a cache of such a model."""
    if not isinstance(cache, KVCache | StaticCache):
        raise InputError(
            f"past_key_values should be a cache that this model has returned, or None, not a {type(cache).__name__}"
        )
    text = model.config.text_config
    layers, batch, heads, _, width = cache.keys.shape
    if (layers, heads, width) != (text.num_hidden_layers, text.num_key_value_heads, text.head_dim):
        raise InputError(
            f"past_key_values is of a model of {layers} layers and {heads} heads of {width}; this one has "
            f"{text.num_hidden_layers}, {text.num_key_value_heads} and {text.head_dim}"
        )
    return batch
