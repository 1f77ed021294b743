"""Make the model's inputs from pictures and a prompt: the image processor, the tokenizer, and the layout that joins them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.batch_feature import BatchFeature
from ovis2_ref.compat.call_options import sort_options
from ovis2_ref.compat.idle import TEMPLATE_OPTIONS
from ovis2_ref.compat.json_settings import check_saving, located
from ovis2_ref.compat.processor_names import ProcessorNames
from ovis2_ref.compat.text_arguments import row_of, rows_of, text_list
from ovis2_ref.compat.tokenizer_names import SETTABLE
from ovis2_ref.convention import Convention, as_convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, mapping, shown, whole
from ovis2_ref.files.writing import replacing_files
from ovis2_ref.image.pictures import flat_pictures
from ovis2_ref.image.processor import OPTIONS, Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.text.chat import (
    CHAT_TEMPLATE,
    IMAGE_TOKEN,
    check_chat_template,
    conversation_list,
    message_pictures,
    render_chat,
)
from ovis2_ref.text.layout import (
    IMAGE_ATOM,
    INDICATORS,
    ORIGINAL_IDS,
    check_picture_count,
    expand_pictures,
    original_token_ids,
)
from ovis2_ref.text.processor_files import read_processor_files, write_processor_files
from ovis2_ref.text.tokenizer import Tokenizer, check_special_tokens


class Ovis2Processor(ProcessorNames):
    """transformers' `Ovis2Processor`: the same arguments and results, NumPy arrays unless return_tensors="pt" asks for tensors.

    Under convention "original" the prompt is the authors': pictures are negative ids in it, and each piece of text between them
    is tokenised separately.
    """

    def __init__(
        self,
        image_processor: Ovis2ImageProcessor | Ovis2ImageProcessorFast,
        tokenizer: Tokenizer,
        chat_template: str | None = None,
        image_token: str = IMAGE_TOKEN,
        image_seq_length: int = 256,
        convention: str | Convention = "transformers",
    ) -> None:
        """Join an image processor and a tokenizer; `image_seq_length` is the number of visual tokens of a tile."""
        if image_token != IMAGE_TOKEN:
            raise InputError(f"image_token={shown(image_token)} should be {IMAGE_TOKEN!r}")
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.chat_template = CHAT_TEMPLATE if chat_template is None else chat_template
        self.image_seq_length = whole("image_seq_length", image_seq_length, 1)
        self.convention = as_convention(convention)

    @property
    def chat_template(self) -> str:
        """Ovis2's chat template; it can be set to one with another system message only, since templates are programs."""
        return self._chat_template

    @chat_template.setter
    def chat_template(self, template: str) -> None:
        check_chat_template(template, "chat_template", InputError)
        self._chat_template = template

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        convention: str | Convention = "transformers",
        use_fast: bool | None = False,
        **options: Any,
    ) -> Self:
        """Load the processor in `folder`, from the files of transformers 4.56, 5.x or the authors.

        `use_fast` resizes as transformers' torch image processor does, else as its Pillow one. `options`: settings of the
        image processor (`max_patches`) and of the tokenizer (`padding_side`) to change, `image_seq_length`, `chat_template`.
        Raises `CheckpointError` for files that are missing, damaged, hostile or another model's, or that don't fit the folder's
        config.json.
        """
        check_flags(use_fast=use_fast)
        root, options = located(folder, given(options))
        own = {
            name: options.pop(name) for name in ("chat_template", "image_token", "image_seq_length") if name in options
        }
        check_names("a processor's from_pretrained", options, {*OPTIONS, *SETTABLE})
        tokenizer_options = {name: options.pop(name) for name in SETTABLE if name in options}
        convention = as_convention(convention)
        files = read_processor_files(root)
        tokenizer = Tokenizer.from_pretrained(root, **tokenizer_options)
        tokenizer.name_or_path, tokenizer.chat_template = str(folder), files.chat_template
        if convention.placeholders_in_vocabulary:
            if files.of_authors:
                tokenizer.add_special_tokens((IMAGE_ATOM, *INDICATORS))
            if files.config is not None:
                check_special_tokens(tokenizer, files.config)
        kind = Ovis2ImageProcessorFast if use_fast else Ovis2ImageProcessor
        image_processor = kind.of_file(files.image_processor, root, convention)
        settings = {"image_seq_length": files.image_seq_length, "chat_template": files.chat_template, **own}
        return cls(image_processor.changed(options), tokenizer, convention=convention, **settings)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write the files that transformers 4.56 and 5.x load."""
        check_saving(options)
        with replacing_files(folder, InputError) as files:
            self.tokenizer.save_pretrained(files)
            write_processor_files(files, self.image_processor.to_dict(), self.image_seq_length, self.chat_template)

    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **options: Any
    ) -> BatchFeature:
        """Return what `model(**inputs)` takes: `input_ids`, `attention_mask` (batch, tokens), and for pictures `pixel_values`
        (tiles, channels, side, side).

        images: a picture, a list, or a list for each prompt; their <image> places are counted through all prompts.
        text: a prompt or a list of them. With None, the result holds `pixel_values` only.
        return_tensors: "np" (the default), "pt" for tensors, None for ids as lists (`pixel_values` stay an array).
        options: padding, truncation, max_length, padding_side and the rest of `BatchRules`; the image processor's (max_patches);
        or both in the dictionaries `text_kwargs`, `images_kwargs` and `common_kwargs`.
        Raises `InputError` for arguments that can't be used, or don't fit each other.
        """
        as_lists = "return_tensors" in options and options["return_tensors"] is None
        options = {**options, "videos": videos, "audio": audio}
        call = sort_options(options, None if as_lists else "np")
        rules = self.tokenizer.rules(**call.text, return_tensors=None if call.return_tensors is None else "np")
        pictures = [] if images is None else list(flat_pictures(images))
        if text is None and not pictures:
            raise InputError("give text, a prompt or a list of them, with an <image> for each picture in images")
        self.image_processor.changed(call.images)  # an option that can't be used is an error without pictures, too
        prompts = [] if text is None else text_list(text)
        if text is not None:
            check_picture_count(prompts, len(pictures))
        tiles = self.image_processor(pictures, return_tensors="np", **call.images) if pictures else {}
        if text is None:
            return BatchFeature(pixel_values=tiles["pixel_values"]).convert_to_tensors(call.return_tensors)
        grids = [(int(rows), int(columns)) for rows, columns in tiles.get("grids", ())]
        rows, masks, offsets = self._tokenize(prompts, grids)
        inputs = self.tokenizer.collate(rows, rules, masks, offsets)
        if call.return_mm_token_type_ids:
            inputs["mm_token_type_ids"] = self.create_mm_token_type_ids(inputs["input_ids"])
        if pictures:
            self._check_atoms_uncut(rows, inputs)
            inputs["pixel_values"] = tiles["pixel_values"]
        return inputs.convert_to_tensors(call.return_tensors)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the prompt of a conversation, or the prompts of a list of them; with `tokenize` its `input_ids`, with
        `return_dict` too all inputs, the pictures taken from the parts {"type": "image", "image": ...} (or "url", "path": a
        file's name).

        `processor_kwargs`, or further arguments, are those of the processor's call. See `render_chat` for the template, which
        marks no part as the assistant's: `return_assistant_tokens_mask` gives zeros, as in transformers.
        """
        options = {
            **mapping("processor_kwargs", processor_kwargs),
            **active("apply_chat_template", kwargs, TEMPLATE_OPTIONS),
        }
        sort_options(options, None)  # a misspelt option is an error also where no tokens are asked for
        template = self.chat_template if chat_template is None else chat_template
        system = check_chat_template(template, "chat_template", InputError)
        check_flags(
            tokenize=tokenize, return_dict=return_dict, return_assistant_tokens_mask=return_assistant_tokens_mask
        )
        conversations, batched = conversation_list(conversation)
        prompts = [
            render_chat(
                messages,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                convention=self.convention,
                system=system,
            )
            for messages in conversations
        ]
        if not tokenize:
            return prompts if batched else prompts[0]
        images = [
            picture for messages in conversations for message in messages for picture in message_pictures(message)
        ]
        inputs = self(images=images or None, text=prompts, **options)
        if return_assistant_tokens_mask:
            inputs["assistant_masks"] = [[0] * len(row) for row in inputs["input_ids"]]
        return inputs if return_dict else inputs["input_ids"]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """Return the text of a row of ids, as `Tokenizer.decode` gives it; the authors' negative ids are dropped."""
        ids = row_of(token_ids)
        if not self.convention.placeholders_in_vocabulary:
            ids = ids[ids >= 0]
        return self.tokenizer.decode(ids, skip_special_tokens, **kwargs)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Return the text of each row of ids."""
        return [self.decode(row, skip_special_tokens, **kwargs) for row in rows_of(sequences)]

    def _tokenize(
        self, prompts: list[str], grids: list[tuple[int, int]]
    ) -> tuple[list[list[int]], list[list[int]] | None, list[list[tuple[int, int]]] | None]:
        """Return the ids of each prompt with its pictures' layouts; the attention mask (None: all ones); the characters of each
        token in the prompt with written-out pictures (None: not known).
        """
        if self.convention.placeholders_in_vocabulary:
            expanded = expand_pictures(prompts, grids, self.image_seq_length)
            encodings = [self.tokenizer.encoding(prompt) for prompt in expanded]
            return [one.ids for one in encodings], None, [one.offsets for one in encodings]
        rows = original_token_ids(prompts, grids, self.tokenizer.encode, self.image_seq_length)
        # The authors' mask is `input_ids != pad_token_id`: a padding token that the text itself spells out is not attended to.
        return rows, [[int(token_id != self.tokenizer.pad_token_id) for token_id in row] for row in rows], None

    def _check_atoms_uncut(self, rows: list[list[int]], inputs: BatchFeature) -> None:
        """Raise `InputError` if truncation has cut off a part of a picture, which can't be embedded then."""
        in_vocabulary = self.convention.placeholders_in_vocabulary
        atom = self.tokenizer.convert_tokens_to_ids(IMAGE_ATOM) if in_vocabulary else ORIGINAL_IDS[IMAGE_ATOM]
        if any(
            list(row).count(atom) != list(cut).count(atom) for row, cut in zip(rows, inputs["input_ids"], strict=True)
        ):
            raise InputError(
                f"truncation cuts visual tokens off a prompt of {max(map(len, rows))} tokens: raise max_length, or have "
                "fewer tiles with max_patches"
            )
