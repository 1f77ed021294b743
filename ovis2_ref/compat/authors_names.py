r"""The names of the authors' model card (AIDC-AI/Ovis, branch v2.0, modeling_ovis.py), on a model of convention "original".

    prompt, input_ids, pixel_values = model.preprocess_inputs("<image>\nDescribe the image.", [picture], max_partition=9)
    output = model.generate(input_ids[None], pixel_values=[pixel_values], attention_mask=mask[None], max_new_tokens=64)[0]

Under convention "transformers" each of them raises an error that says what to use there.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.compat.tensors import has_tensors, is_array, is_tensor, script_array, to_array, to_tensor
from ovis2_ref.convention import ORIGINAL, Convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown, whole
from ovis2_ref.files.reading import read_json
from ovis2_ref.runtime.arrays import Array, to_device
from ovis2_ref.runtime.engine import engaged
from ovis2_ref.text.layout import check_picture_count, original_placeholder, original_token_ids
from ovis2_ref.text.processor import Ovis2Processor

INSTEAD = {
    "get_text_tokenizer": "Ovis2Processor.from_pretrained(folder).tokenizer",
    "get_visual_tokenizer": "Ovis2Processor.from_pretrained(folder).image_processor, and model.get_image_features",
    "preprocess_inputs": "Ovis2Processor.from_pretrained(folder)(images=..., text=...)",
    "pixel_values, one entry for each row": "one array with the tiles of all rows, as a processor returns it",
    "multimodal_max_length": "max_length and truncation of the processor's call",
    "llm_attn_implementation": "attn_implementation",
}
"""The authors' names, and what to use under convention "transformers"."""
AUTHORS_ARGUMENTS = ("multimodal_max_length", "llm_attn_implementation")
"""Arguments of the authors' `from_pretrained`."""
ROLES = {"system": "system", "human": "user", "gpt": "assistant"}
LONGEST = 8192
"""The authors' default of `multimodal_max_length` (configuration_ovis.py)."""


def expect_authors(name: str, convention: Convention) -> None:
    """Raise `InputError` for a name of the authors' under another convention than theirs."""
    if convention is not ORIGINAL:
        raise InputError(
            f"{name} is a name of the authors' code: load the model with convention='original' for it; under convention "
            f"'transformers' use {INSTEAD[name]}"
        )


def authors_arguments(options: Mapping[str, Any], convention: Convention) -> tuple[dict[str, Any], int | None]:
    """Return the options of `from_pretrained` with the authors' names taken out, and `multimodal_max_length` if it was given."""
    left = dict(options)
    for name in AUTHORS_ARGUMENTS:
        if left.get(name) is not None:
            expect_authors(name, convention)
    longest, attention = (left.pop(name, None) for name in AUTHORS_ARGUMENTS)
    if attention is not None:
        left.setdefault("attn_implementation", attention)
    return left, None if longest is None else whole("multimodal_max_length", longest, 1)


def longest_sequence(root: Path, given: int | None) -> int:
    """Return `multimodal_max_length`: as it was given, else as config.json in `root` says."""
    stored = read_json(root, "config.json").get("multimodal_max_length", LONGEST)
    return given or whole("multimodal_max_length", stored, 1)


class VisualTokenizer:
    """What scripts ask of the authors' visual tokenizer: where and in what type it computes, and a picture's tiles."""

    def __init__(self, model: Any, processor: Ovis2Processor) -> None:
        """Speak for `model`."""
        self._model, self._processor = model, processor

    @property
    def dtype(self) -> Any:
        """The type that the model computes in."""
        return self._model.dtype

    @property
    def device(self) -> Any:
        """The device that the model computes on."""
        return self._model.device

    def get_image_size(self) -> tuple[int, int]:
        """Return height and width of a tile."""
        side = self._model.config.vision_config.image_size
        return side, side

    def preprocess_image(self, image: Any, max_partition: int = 9) -> tuple[Any, list[int]]:
        """Return the tiles of a picture (tiles, channels, side, side), and its ids in a prompt, one atom for a tile."""
        tiles = self._processor.image_processor(image, max_patches=max_partition, return_tensors="np")
        rows, columns = (int(n) for n in tiles["grids"][0])
        return script_array(tiles["pixel_values"]), original_placeholder((rows, columns), 1)


class AuthorsNames:
    """The authors' methods of a model."""

    convention: Convention
    config: Any
    xp: Any
    folder: Path | None
    _embed: Callable[..., Any]

    def _processor(self, name: str) -> Ovis2Processor:
        expect_authors(name, self.convention)
        if self.folder is None:
            raise InputError(f"{name} reads the folder of the model, which has none: load it with from_pretrained")
        if "_loaded_processor" not in vars(self):
            self._loaded_processor = Ovis2Processor.from_pretrained(self.folder, convention=ORIGINAL)
        return self._loaded_processor

    def get_text_tokenizer(self) -> Any:
        """Return the tokenizer in the model's folder."""
        return self._processor("get_text_tokenizer").tokenizer

    def get_visual_tokenizer(self) -> VisualTokenizer:
        """Return what turns pictures into tiles."""
        return VisualTokenizer(self, self._processor("get_visual_tokenizer"))

    def preprocess_inputs(
        self,
        text_or_conversations: Any,
        images: Any = None,
        max_partition: int | None = 9,
        generation_preface: str | None = "",
        return_labels: bool = False,
        propagate_exception: bool = True,
        frame_selector: Callable[..., Any] | None = None,
        frame_selector_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[str, Any, Any]:
        """Return the prompt, its ids (tokens) with one atom for a tile, and the tiles of its pictures, or None.

        `text_or_conversations`: a question, or turns [{"from": "human", "value": ...}] of system, human and gpt. `images`: the
        pictures of its <image>s. `max_partition`: tiles of a picture at most. `generation_preface`: how the answer begins; with
        None the conversation is closed. `frame_selector(conversations=, frames=, ...)` may change both.
        Raises `InputError` for anything else, and for labels, which only training needs.
        """
        processor = self._processor("preprocess_inputs")
        if return_labels or not propagate_exception:
            raise InputError(
                "preprocess_inputs: return_labels and propagate_exception=False are for training; leave them out"
            )
        is_text = isinstance(text_or_conversations, str)
        turns = [{"from": "human", "value": text_or_conversations}] if is_text else text_or_conversations
        pictures = list(images or [])
        if frame_selector is not None:
            turns, pictures = frame_selector(conversations=turns, frames=pictures, **(frame_selector_kwargs or {}))
        prompt = authors_prompt(turns, generation_preface)
        check_picture_count([prompt], len(pictures))
        tiles: Any = {}
        if pictures:
            options = {} if max_partition is None else {"max_patches": max_partition}
            tiles = processor.image_processor(pictures, return_tensors="np", **options)
        grids = [(int(rows), int(columns)) for rows, columns in tiles.get("grids", ())]
        ids = original_token_ids([prompt], grids, processor.tokenizer.encode)[0]
        pixels = script_array(tiles["pixel_values"]) if pictures else None
        return prompt, script_array(np.array(ids, np.int64)), pixels

    def generate(self, inputs: Array | None = None, **options: Any) -> Any:
        """Return the ids of prompt and answer, as `GenerativeModel.generate`; the ids of the answer alone where `pixel_values` is
        a list with the tiles of each row, or None for a row without, as the authors' code takes it.
        """
        pixels = options.get("pixel_values")
        is_theirs = isinstance(pixels, list | tuple) and bool(pixels) and all(map(_is_row, pixels))
        if not is_theirs:
            return super().generate(inputs, **options)  # type: ignore[misc]
        expect_authors("pixel_values, one entry for each row", self.convention)
        as_tensors = has_tensors((inputs, options))
        ids, mask = (
            to_array(value) for value in (options.pop("input_ids", inputs), options.pop("attention_mask", None))
        )
        embeddings, seen = self._merged(ids, mask, [to_array(tiles) for tiles in options.pop("pixel_values")])
        convert = to_tensor if as_tensors else lambda array: array
        return super().generate(inputs_embeds=convert(embeddings), attention_mask=convert(seen), **options)  # type: ignore[misc]

    @engaged
    def _merged(
        self, ids: Any, mask: Any, pixels: list[Any]
    ) -> tuple[Float[Array, "batch tokens hidden"], Int[Array, "batch tokens"]]:
        """Return the embeddings of all rows, padded on the left, and the mask; cut on the left to `multimodal_max_length`."""
        per_tile = self.config.vision_config.tokens_per_tile
        atom, (ids, mask) = self.config.image_token_id, _checked_rows(ids, mask, len(pixels))
        rows, masks = [], []
        for row, seen, tiles in zip(ids, mask, pixels, strict=True):
            count, expected = int((row == atom).sum()), 0 if tiles is None else len(tiles)
            if count not in (expected, expected * per_tile):
                raise InputError(f"a row of input_ids has {count} image atoms, and its pixel_values {expected} tiles")
            repeats = np.where(row == atom, per_tile if count == expected else 1, 1)
            rows.append(np.repeat(row, repeats))
            masks.append(np.repeat(seen, repeats))
        length = max(map(len, rows))
        padded, seen = (np.stack([np.pad(row, (length - len(row), 0)) for row in part]) for part in (rows, masks))
        given = [to_device(tiles, self.xp) for tiles in pixels if tiles is not None]
        embeddings, _ = self._embed(to_device(padded, self.xp), None, self.xp.concatenate(given) if given else None)
        longest = getattr(self.config, "multimodal_max_length", LONGEST)
        if length > longest:
            warnings.warn(
                f"the prompt has {length} tokens; only its last {longest} are read (multimodal_max_length)",
                stacklevel=4,
            )
        return embeddings[:, -longest:], to_device(seen[:, -longest:], self.xp)


def authors_prompt(turns: Any, generation_preface: str | None) -> str:
    """Return the authors' prompt of a conversation (`QwenConversationFormatter.format`)."""
    if not isinstance(turns, list | tuple) or not turns or not all(_is_turn(turn) for turn in turns):
        raise InputError(
            f"preprocess_inputs takes a text, or turns {{'from': one of {', '.join(ROLES)}, 'value': a text}}; got {shown(turns)}"
        )
    system = [] if turns[0]["from"] == "system" else [{"from": "system", "value": "You are a helpful assistant."}]
    texts = [f"<|im_start|>{ROLES[turn['from']]}\n{turn['value']}<|im_end|>\n" for turn in (*system, *turns)]
    return "".join(texts) + ("" if generation_preface is None else f"<|im_start|>assistant\n{generation_preface}")


def _is_row(tiles: Any) -> bool:
    """Return True for what the authors' `pixel_values` has for a row: its tiles, or None."""
    return tiles is None or ((is_array(tiles) or is_tensor(tiles)) and tiles.ndim == 4)


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, Mapping) and turn.get("from") in ROLES and isinstance(turn.get("value"), str)


def _checked_rows(ids: Any, mask: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.asarray(ids)
    mask = np.ones(ids.shape, np.int64) if mask is None else np.asarray(mask).astype(np.int64)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or mask.shape != ids.shape or len(ids) != count or ids.size == 0:
        raise InputError(
            f"input_ids {ids.shape} and attention_mask {mask.shape} should be whole numbers (batch, tokens), with one entry of "
            f"pixel_values for each row, not {count}"
        )
    return ids, mask
