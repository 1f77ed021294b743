"""The methods of a processor that transformers' scripts call: its image token, its settings, its answers as text."""

from typing import Any, ClassVar

from ovis2_ref.compat.json_settings import JsonText
from ovis2_ref.compat.missing import PROCESSOR
from ovis2_ref.compat.tensors import to_array
from ovis2_ref.compat.text_arguments import row_of, rows_of
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.text.chat import IMAGE_TOKEN
from ovis2_ref.text.layout import image_placeholder


class ProcessorNames(JsonText):
    """The attributes and small methods of transformers' processors."""

    counterpart, missing = "transformers' Ovis2Processor", PROCESSOR
    image_processor: Any
    tokenizer: Any
    image_seq_length: int
    image_token = IMAGE_TOKEN
    all_special_multimodal_tokens: ClassVar[list[str]] = [IMAGE_TOKEN]
    model_input_names: ClassVar[list[str]] = ["pixel_values", "input_ids", "attention_mask"]
    unused_input_names: ClassVar[list[str]] = ["grids"]
    video_token_ids: ClassVar[list[None]] = [None]
    audio_token_ids: ClassVar[list[None]] = [None]
    return_mm_token_type_ids = return_text_replacement_offsets = False

    @property
    def image_token_id(self) -> int | None:
        """The id of `image_token`, the mark of a picture in a prompt, which is replaced by `<IMG_ATOM>`s."""
        return self.tokenizer.convert_tokens_to_ids(self.image_token)

    @property
    def image_token_ids(self) -> list[int | None]:
        """`image_token_id` in a list."""
        return [self.image_token_id]

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Return the names of the two processors that this one consists of."""
        return ["image_processor", "tokenizer"]

    def replace_image_token(self, image_inputs: Any, image_idx: int, **_: Any) -> str:
        """Return the text that takes the place of the <image> of picture number `image_idx`."""
        try:
            rows, columns = (int(n) for n in to_array(image_inputs["grids"][image_idx]))
        except (TypeError, ValueError, LookupError) as error:
            raise InputError(
                f"replace_image_token takes what an image processor returned, with its grids, and a picture's number, not "
                f"{shown(image_inputs)} and {shown(image_idx)}"
            ) from error
        return image_placeholder((rows, columns), self.image_seq_length)

    def create_mm_token_type_ids(self, input_ids: Any) -> list[list[int]]:
        """Return 1 for each id that is `image_token_id`, else 0. The prompt's <image> are replaced, so usually all are 0."""
        rows = [row_of(row) for row in rows_of(input_ids)]
        return [(row == self.image_token_id).astype(int).tolist() for row in rows]

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **options: Any
    ) -> list[str]:
        """Return the text of each row of generated ids."""
        return self.batch_decode(generated_outputs, skip_special_tokens, **options)  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, without the tokenizer's."""
        return {
            "image_seq_length": self.image_seq_length,
            "image_token": self.image_token,
            "image_processor": self.image_processor.to_dict(),
            "processor_class": "Ovis2Processor",
        }

    def __repr__(self) -> str:
        parts = "".join(f"- {name}: {getattr(self, name)!r}\n" for name in self.get_attributes())
        return f"{type(self).__name__}:\n{parts}\n{self.to_json_string()}"
