"""`ovis2-ref describe`: print the answer to a question about pictures as it is made, and one line of its costs."""

import io
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import ORIGINAL
from ovis2_ref.errors import InputError
from ovis2_ref.files.reading import read_json
from ovis2_ref.files.writing import replacing
from ovis2_ref.generation.streamers import TextStreamer
from ovis2_ref.image.limits import MAX_BYTES
from ovis2_ref.image.loading import load_image, load_video
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.taps import listening
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tools.draw import PAPER, draw_grid, draw_tiles
from ovis2_ref.tools.terminal import print_warning

BLOCK = r"model\.vision_tower\.transformer\.encoder\.layers\.\d+\.output"
WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Endings of names of pictures that can be written, and their formats."""
VISUAL, LOGITS = "model.visual_embeddings_table.output", "lm_head.output"


class TextStream(TextStreamer):
    """Prints the answer as its tokens come, and counts them."""

    def __init__(self, processor: Ovis2Processor) -> None:
        """Decode with `processor`, control tokens left out."""
        super().__init__(processor, skip_prompt=True, skip_special_tokens=True)
        self.tokens = -1
        """Tokens so far; the first call of `put` brings the prompt."""

    def put(self, value: Any) -> None:
        """Take the prompt first, then each new token; print the new text, whole characters only."""
        self.tokens += 1
        super().put(value)


class Stages:
    """A listener on the taps: it moves a progress bar at every block of the ViT, and notes when the stages of the model end."""

    def __init__(self, blocks: int) -> None:
        """Expect `blocks` blocks of the vision transformer."""
        from tqdm import tqdm

        self._bar = tqdm(
            total=blocks, desc="encoding tiles", unit="block", disable=not sys.stderr.isatty(), leave=False
        )
        self.encoded = self.prefilled = 0.0

    @staticmethod
    def wants(name: str) -> bool:
        """Return the end of a ViT block, of the vision side, and of a pass through the language model."""
        return name in (VISUAL, LOGITS) or re.fullmatch(BLOCK, name) is not None

    def __call__(self, name: str, _: Array) -> None:
        if name == VISUAL:
            self._bar.close()
            self.encoded = time.perf_counter()
        elif name == LOGITS:
            self.prefilled = self.prefilled or time.perf_counter()
        else:
            self._bar.update()


def describe(
    pictures: Sequence[str | Path],
    prompt: str,
    checkpoint: str | Path,
    *,
    max_new_tokens: int,
    frames: int | None,
    dtype: str,
    device: str,
    convention: str,
    stream: bool,
) -> None:
    """Print the answer to `prompt` about `pictures` on stdout, and on stderr one line of tiles, tokens and seconds.

    Of an animation `frames` evenly spaced frames are taken, each as a picture of one tile.
    """
    start = time.perf_counter()
    folder = checkpoint_folder(checkpoint)
    authors_layout = read_json(folder, "config.json").get("model_type") == "ovis"
    images = [picture for path in pictures for picture in _pictures(path, frames)]
    processor = Ovis2Processor.from_pretrained(checkpoint, convention=convention)
    inputs = _inputs(processor, images, prompt, {} if frames is None else {"max_patches": 1})
    prepared = time.perf_counter()
    model = Ovis2ForConditionalGeneration.from_pretrained(
        checkpoint, dtype=dtype, device=device, convention=convention, stream=stream, progress=sys.stderr.isatty()
    )
    loaded = time.perf_counter()
    for message in _doubts(pictures, frames, images, inputs, model, authors_layout):
        print_warning(message)
    stages, answer = Stages(model.config.vision_config.num_hidden_layers), TextStream(processor)
    with listening(stages, stages.wants):
        model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, streamer=answer)
    done = time.perf_counter()

    tiles = len(inputs["pixel_values"])
    visual = tiles * model.config.vision_config.tokens_per_tile
    grids = ", ".join(_grids(inputs["input_ids"][0], len(images), model.config))
    print(
        f"{tiles} {'tile' if tiles == 1 else 'tiles'} (grid {grids}), "
        f"{visual} visual + {inputs['input_ids'].size - visual} text tokens, {answer.tokens} new; "
        f"seconds: prepare {prepared - start:.2f}, load {loaded - prepared:.2f}, encode {stages.encoded - loaded:.2f}, "
        f"prefill {stages.prefilled - stages.encoded:.2f}, decode {done - stages.prefilled:.2f}",
        file=sys.stderr,
    )


def _pictures(path: str | Path, frames: int | None) -> list[Any]:
    """Return the picture in a file, or `frames` frames of it; the file "-" is standard input."""
    source = sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == "-" else path
    return [load_image(source)] if frames is None else load_video(source, frames)


def _doubts(
    pictures: Sequence[str | Path], frames: int | None, images: list[Any], inputs: Any, model: Any, authors_layout: bool
) -> list[str]:
    """Return warnings about a question that the model can answer, but perhaps not as the person expects."""
    doubts, length, most = [], inputs["input_ids"].size, model.config.text_config.max_position_embeddings
    if len(pictures) > 1:
        doubts.append(
            f"all {len(pictures)} pictures are in one prompt; run the command once for each to get separate answers"
        )
    if frames is not None and len(images) == len(pictures):
        doubts.append("--frames takes frames of an animation, and a still picture has one")
    if length > most:
        doubts.append(
            f"the prompt has {length} tokens, and the model was made for {most}: ask about fewer or smaller pictures"
        )
    if authors_layout != (model.convention is ORIGINAL):
        made, other = ("original", "transformers") if authors_layout else ("transformers", "original")
        doubts.append(
            f'the checkpoint has the layout of convention "{made}"; with --convention {other} its answers may be worse'
        )
    return doubts


def _inputs(processor: Ovis2Processor, images: list[Any], prompt: str, options: dict[str, Any]) -> Any:
    """Return the model's inputs for one question about all the pictures."""
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return processor(images=images, text=text, **options)


def _grids(ids: Int[np.ndarray, " tokens"], pictures: int, config: Ovis2Config) -> list[str]:
    """Return each picture's grid as "rows x columns", read from the indicators of the prompt: start, grid, column, row, end.

    The pictures come first: indicators in the text of the question follow theirs.
    """
    start, _, column, row, end = config.visual_indicator_token_ids
    grids = []
    for first, last in zip(np.flatnonzero(ids == start)[:pictures], np.flatnonzero(ids == end)[:pictures], strict=True):
        rows = 1 + int((ids[first:last] == row).sum())
        columns = 1 + int((ids[first:last] == column).sum()) // rows
        grids.append(f"{rows}x{columns}")
    return grids


def draw_picture_tiles(picture: str | Path, checkpoint: str | Path, convention: str, output: str | Path) -> None:
    """Write a picture of `picture`'s grid and, beside it, of its tiles as the model of `checkpoint` sees them into `output`."""
    from PIL import Image

    kind, image = _picture_format(output), load_image(picture)
    if Path(output).exists() and os.path.samefile(picture, output):
        raise InputError(f"{output} is the picture itself, which would be lost; give another name with -o")
    processor = Ovis2Processor.from_pretrained(checkpoint, convention=convention)
    tiles = processor.image_processor(image, return_tensors="np")
    grid = tuple(tiles["grids"][0].tolist())
    parts = [draw_grid(np.asarray(image.convert("RGB")), grid), draw_tiles(tiles["pixel_values"], grid)]
    sheet = Image.new("RGB", (sum(part.width for part in parts), max(part.height for part in parts)), PAPER)
    sheet.paste(parts[0], (0, 0))
    sheet.paste(parts[1], (parts[0].width, 0))
    encoded = io.BytesIO()
    try:
        sheet.save(encoded, kind)
    except (OSError, ValueError) as error:
        raise InputError(
            f"a sheet of {sheet.width}x{sheet.height} pixels can't be written as {kind}: {error}"
        ) from error
    with replacing(output, InputError) as file:
        file.write(encoded.getbuffer())
    print(f"{output}: {len(tiles['pixel_values'])} tiles, grid {grid[0]}x{grid[1]} (rows x columns)")


def _picture_format(output: str | Path) -> str:
    """Return the format that a file's name asks for. Raises `InputError` for another format."""
    ending = Path(output).suffix.lower()
    if ending not in WRITTEN:
        raise InputError(f"{output} should end with one of {', '.join(WRITTEN)}")
    return WRITTEN[ending]
