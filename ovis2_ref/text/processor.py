"""Pictures and a prompt become the model's inputs: the image processor, the tokenizer, and the layout between them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ovis2_ref.convention import Convention, as_convention
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.image.pictures import flat_pictures
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.runtime.files import checked_folder
from ovis2_ref.text.batch import BatchFeature
from ovis2_ref.text.chat import CHAT_TEMPLATE, Message, check_chat_template, message_parts, render_chat
from ovis2_ref.text.layout import (
    IMAGE_ATOM,
    INDICATORS,
    ORIGINAL_IDS,
    check_picture_count,
    expand_pictures,
    original_token_ids,
)
from ovis2_ref.text.processor_files import read_processor_files, write_processor_files
from ovis2_ref.text.tokenizer import Tokenizer, check_special_tokens, row_of, rows_of, text_list


class Ovis2Processor:
    """transformers' `Ovis2Processor`: the same arguments and results, with NumPy arrays in place of tensors.

    Under convention "original" the prompt is the authors': pictures stand in it as negative ids, and each piece of text between
    them is tokenised on its own.
    """

    def __init__(
        self,
        image_processor: Ovis2ImageProcessor | Ovis2ImageProcessorFast,
        tokenizer: Tokenizer,
        chat_template: str | None = None,
        image_seq_length: int = 256,
        convention: str | Convention = "transformers",
    ) -> None:
        """Join an image processor and a tokenizer; `image_seq_length` is the number of visual tokens of a tile."""
        if chat_template is not None:
            check_chat_template(chat_template, "the argument chat_template", InputError)
        if isinstance(image_seq_length, bool) or not isinstance(image_seq_length, int) or image_seq_length < 1:
            raise InputError(f"image_seq_length={image_seq_length!r} should be a whole number above 0")
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.chat_template = CHAT_TEMPLATE
        self.image_seq_length = image_seq_length
        self.convention = as_convention(convention)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, convention: str | Convention = "transformers", use_fast: bool = False
    ) -> Self:
        """The processor in `folder`, from the files of transformers 4.56, 5.x or the authors.

        `use_fast` resizes as transformers' torch image processor does, else as its Pillow one. Raises `CheckpointError` for files
        that are missing, damaged, hostile or another model's, or that don't fit the folder's config.json.
        """
        root = checked_folder(folder)
        convention = as_convention(convention)
        files = read_processor_files(root)
        tokenizer = Tokenizer.from_pretrained(root)
        if convention.placeholders_in_vocabulary:
            if files.of_authors:
                tokenizer.add_special_tokens((IMAGE_ATOM, *INDICATORS))
            if files.config is not None:
                check_special_tokens(tokenizer, files.config)
        kind = Ovis2ImageProcessorFast if use_fast else Ovis2ImageProcessor
        try:
            image_processor = kind.from_dict(files.image_processor, convention)
        except InputError as error:
            raise CheckpointError(f"{root}: the image processor's settings can't be used: {error}") from error
        return cls(image_processor, tokenizer, image_seq_length=files.image_seq_length, convention=convention)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files that transformers 4.56 and 5.x load."""
        path = Path(folder)
        try:
            self.tokenizer.save_pretrained(path)
            write_processor_files(path, self.image_processor.to_dict(), self.image_seq_length)
        except OSError as error:
            raise InputError(f"the processor can't be written to {path}: {error}") from error

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        *,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = "np",
        **image_options: Any,
    ) -> BatchFeature:
        """What `model(**inputs)` takes: `input_ids`, `attention_mask` (batch, tokens), and for pictures `pixel_values`
        (tiles, channels, side, side).

        images: a picture, a list, or a list for each prompt; their <image> places are counted through all prompts.
        text: a prompt or a list of them. With None, `pixel_values` come alone.
        return_tensors: None for ids as lists; `pixel_values` are an array in any case.
        padding, truncation, max_length, padding_side: see `BatchRules`. image_options: the image processor's (max_patches).
        Raises `InputError` for arguments that can't be used, or don't fit each other.
        """
        rules = self.tokenizer.rules(
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            padding_side=padding_side,
            return_tensors=return_tensors,
        )
        pictures = [] if images is None else list(flat_pictures(images))
        if text is None and not pictures:
            raise InputError("give text, a prompt or a list of them, with an <image> for each picture in images")
        prompts = [] if text is None else text_list(text)
        if text is not None:
            check_picture_count(prompts, len(pictures))
        tiles = self.image_processor(pictures, return_tensors="np", **image_options) if pictures else {}
        if text is None:
            return BatchFeature(pixel_values=tiles["pixel_values"])
        grids = [(int(rows), int(columns)) for rows, columns in tiles.get("grids", ())]
        rows, masks = self._tokenize(prompts, grids)
        inputs = self.tokenizer.collate(rows, rules, masks)
        if pictures:
            self._check_atoms_uncut(rows, inputs)
            inputs["pixel_values"] = tiles["pixel_values"]
        return inputs

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The prompt of a conversation, or the prompts of a list of them; with `tokenize` its `input_ids`, with `return_dict` too
        all inputs, the pictures taken from the parts {"type": "image", "image": ...} (or "url", "path": a file's name).

        `processor_kwargs`, or further arguments, are those of the processor's call. See `render_chat` for the template.
        """
        if chat_template is not None:
            check_chat_template(chat_template, "the argument chat_template", InputError)
        if not isinstance(conversation, Sequence) or isinstance(conversation, str) or not conversation:
            raise InputError(
                f"a conversation is a list of messages {{'role': ..., 'content': ...}}; got {conversation!r:.200}"
            )
        batched = isinstance(conversation[0], Sequence) and not isinstance(conversation[0], str)
        conversations: Any = conversation if batched else [conversation]
        prompts = [
            render_chat(
                messages,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                convention=self.convention,
            )
            for messages in conversations
        ]
        if not tokenize:
            return prompts if batched else prompts[0]
        images = [picture for messages in conversations for message in messages for picture in _pictures_of(message)]
        inputs = self(images=images or None, text=prompts, **{**(processor_kwargs or {}), **kwargs})
        return inputs if return_dict else inputs["input_ids"]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """The text of a row of ids, as `Tokenizer.decode` gives it; the authors' negative ids leave no trace."""
        ids = row_of(token_ids)
        if not self.convention.placeholders_in_vocabulary and ids.dtype.kind == "i":
            ids = ids[ids >= 0]
        return self.tokenizer.decode(ids, skip_special_tokens, **kwargs)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """The text of each row of ids."""
        return [self.decode(row, skip_special_tokens, **kwargs) for row in rows_of(sequences)]

    def _tokenize(
        self, prompts: list[str], grids: list[tuple[int, int]]
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """The ids of each prompt with its pictures' layouts in place, and what to attend to (None: everything)."""
        encode = self.tokenizer.encode
        if self.convention.placeholders_in_vocabulary:
            return [encode(prompt) for prompt in expand_pictures(prompts, grids, self.image_seq_length)], None
        rows = original_token_ids(prompts, grids, encode, self.image_seq_length)
        # The authors' mask is `input_ids != pad_token_id`: a padding token that the text itself spells out is not attended to.
        return rows, [[int(token_id != self.tokenizer.pad_token_id) for token_id in row] for row in rows]

    def _check_atoms_uncut(self, rows: list[list[int]], inputs: BatchFeature) -> None:
        """A picture of which truncation has left a part can't be embedded."""
        in_vocabulary = self.convention.placeholders_in_vocabulary
        atom = self.tokenizer.convert_tokens_to_ids(IMAGE_ATOM) if in_vocabulary else ORIGINAL_IDS[IMAGE_ATOM]
        if any(
            list(row).count(atom) != list(cut).count(atom) for row, cut in zip(rows, inputs["input_ids"], strict=True)
        ):
            raise InputError(
                f"truncation cuts visual tokens off a prompt of {max(map(len, rows))} tokens: raise max_length, or have "
                "fewer tiles with max_patches"
            )


def _pictures_of(message: Message) -> list[Any]:
    """The pictures that a message's parts carry, as transformers looks for them."""
    parts = [part for part in message_parts(message) if part["type"] == "image"]
    if any("base64" in part for part in parts):
        raise InputError("a picture in base64 has to be decoded first; give {'type': 'image', 'image': picture}")
    return [part[key] for part in parts for key in ("image", "url", "path") if key in part]
