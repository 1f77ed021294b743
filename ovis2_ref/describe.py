"""What `ovis2-ref describe` does: pictures and a question in, the answer out as it is made, and one line of what it cost."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ovis2_ref.arrays import Array
from ovis2_ref.image.loading import load_image, load_video
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.trace import listening


class TextStream:
    """A streamer for `generate` that writes the answer as its tokens come."""

    def __init__(self, processor: Ovis2Processor, out: TextIO) -> None:
        """Decode with `processor`, write to `out`."""
        self._processor, self._out = processor, out
        self._ids: list[int] = []
        self._written = ""
        self._prompt_seen = False

    def put(self, ids: Array) -> None:
        """Take the prompt first, then each new token; write what is new in the text, but no half of a character."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._ids += ids.reshape(-1).tolist()
        text = self._processor.decode(self._ids, skip_special_tokens=True)
        if text.startswith(self._written) and not text.endswith("\ufffd"):
            self._out.write(text[len(self._written) :])
            self._out.flush()
            self._written = text

    def end(self) -> None:
        """End the line."""
        text = self._processor.decode(self._ids, skip_special_tokens=True)
        self._out.write(text[len(self._written) :] + "\n")
        self._out.flush()

    @property
    def tokens(self) -> int:
        """How many tokens have come."""
        return len(self._ids)


class Stages:
    """A listener on the taps: it moves a progress bar at every ViT block, and notes when each stage of the model ends."""

    def __init__(self, blocks: int) -> None:
        """Expect `blocks` blocks of the vision transformer."""
        from tqdm import tqdm

        self._bar = tqdm(total=blocks, desc="encoding tiles", unit="block", disable=not sys.stderr.isatty(), leave=False)
        self.ends: dict[str, float] = {}

    def __call__(self, name: str, _: Array) -> None:
        if name.startswith("model.vision_tower.transformer.encoder.layers.") and name.count(".") == 6 and name.endswith(".output"):
            self._bar.update()
        elif name == "model.visual_embeddings_table.output":
            self._bar.close()
            self.ends["encode"] = time.perf_counter()
        elif name == "lm_head.output":
            self.ends.setdefault("prefill", time.perf_counter())


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
    images: list[Any] = []
    for path in pictures:
        images += [load_image(path)] if frames is None else load_video(path, frames)
    processor = Ovis2Processor.from_pretrained(checkpoint, convention=convention)
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    one_tile = {} if frames is None else {"max_patches": 1}
    grids = processor.image_processor(images, return_tensors="np", **one_tile)["grids"]
    inputs = processor(images=images, text=text, return_tensors="np", **one_tile)
    prepared = time.perf_counter()

    model = Ovis2ForConditionalGeneration.from_pretrained(
        checkpoint, dtype=dtype, device=device, convention=convention, stream=stream, progress=sys.stderr.isatty()
    )
    loaded = time.perf_counter()
    stages, answer = Stages(model.config.vision_config.num_hidden_layers), TextStream(processor, sys.stdout)
    with listening(stages):
        model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, streamer=answer)
    done = time.perf_counter()

    tiles = len(inputs["pixel_values"])
    visual = tiles * model.config.vision_config.tokens_per_tile
    grid_list = ", ".join(f"{rows}x{columns}" for rows, columns in grids.tolist())
    encoded, prefilled = stages.ends["encode"], stages.ends["prefill"]
    print(
        f"{tiles} tiles (grid {grid_list}), {visual} visual + {inputs['input_ids'].size - visual} text tokens, "
        f"{answer.tokens} new; seconds: prepare {prepared - start:.2f}, load {loaded - prepared:.2f}, "
        f"encode {encoded - loaded:.2f}, prefill {prefilled - encoded:.2f}, decode {done - prefilled:.2f}",
        file=sys.stderr,
    )
