"""Record: run the model on pictures and a prompt, and write every value of the run into a golden file."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import finfo

from ovis2_ref.checkpoint.names import TEXT
from ovis2_ref.golden.budget import as_rows, checksum, drawn_rows, largest_size, moments
from ovis2_ref.golden.file import ROWS, GoldenWriter
from ovis2_ref.golden.stages import INPUTS, is_input, numbered
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import Array, to_host
from ovis2_ref.runtime.taps import listening
from ovis2_ref.text.processor import Ovis2Processor

PASS_BEGINS = f"{TEXT}.inputs_embeds"
LIBRARIES = ("ovis2_ref", "numpy", "ml_dtypes", "tokenizers", "pillow")

Take = Callable[[str, np.ndarray], None]


class Run:
    """A listener on the taps that numbers those of each pass, and a streamer for `generate` that adds the passes' inputs."""

    def __init__(self, take: Take, only: Sequence[str] = ()) -> None:
        """Pass to `take(name, array)` the taps that fit a pattern of `only`, such as "*.layers.3.*", or all if there is none."""
        self._take, self._patterns = take, only or ("*",)
        self._times: dict[str, int] = {}
        self._inputs: dict[str, np.ndarray] = {}
        self.mask: np.ndarray | None = None
        """The prompts' attention mask (batch, tokens), to be set before they are put."""
        self.generated: list[np.ndarray] = []
        """The tokens of each step (batch, 1)."""

    def wants(self, name: str) -> bool:
        """Return True for the names that this listener needs."""
        return name == PASS_BEGINS or self._keeps(name)

    def __call__(self, name: str, array: Array) -> None:
        """Take a tap. The first one of a pass of the language model is preceded by the inputs of the pass."""
        if name == PASS_BEGINS:
            for key, value in self._inputs.items():
                self(key, value)
        self._times[name] = self._times.get(name, 0) + 1
        if self._keeps(name):
            value = to_host(array)
            if name.endswith(".scores"):  # masked: the model adds the lowest number, other programs -infinity
                value = np.where(value <= finfo(value.dtype).min, value.dtype.type(-np.inf), value)
            self._take(numbered(name, self._times[name]), value)

    def put(self, ids: Any) -> None:
        """Take the prompts' ids, then those of each step: an array, or transformers' tensor on the CPU."""
        assert self.mask is not None
        ids = np.asarray(ids).astype(np.int64).reshape(len(self.mask), -1)
        if self._inputs:
            self.generated.append(ids)
            self.mask = np.concatenate([self.mask, np.ones_like(ids)], axis=1)
            positions = self._inputs["position_ids"][:, -1:] + 1
        else:
            positions = np.where(self.mask == 1, np.cumsum(self.mask, axis=1) - 1, 0)
        self._inputs = {"input_ids": ids, "attention_mask": self.mask, "position_ids": positions}

    def end(self) -> None:
        """Pass on the whole answer (batch, tokens)."""
        if self._keeps("generated"):
            self._take("generated", np.concatenate(self.generated, axis=1))

    def _keeps(self, name: str) -> bool:
        return name in INPUTS or any(fnmatchcase(name, pattern) for pattern in self._patterns)


def record(
    path: str | Path,
    model: Ovis2ForConditionalGeneration,
    processor: Ovis2Processor,
    images: Sequence[Any],
    prompt: str,
    *,
    tokens: int = 1,
    only: Sequence[str] = (),
    budget: int | None = None,
    **options: Any,
) -> None:
    """Write a golden file of the run in which `model` answers the question `prompt` about `images` with up to `tokens` tokens.

    `only`: patterns of the taps to keep; the inputs are kept always. `budget`: bytes of values; what doesn't fit is kept as
    drawn rows (the run is made twice then, first for the sizes). `options`: of the processor's call, such as `max_patches`. One
    value is in memory at a time beside the model's own.
    """
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def run(take: Take) -> None:
        recorder = Run(take, only)
        with listening(recorder, recorder.wants):
            inputs = processor(images=list(images) or None, text=text, **options)
            recorder.mask = inputs["attention_mask"]
            model.generate(**inputs, max_new_tokens=tokens, do_sample=False, num_beams=1, streamer=recorder)

    settings, most = processor.image_processor.to_dict(), None
    if budget is not None:
        sizes: list[int] = []
        run(lambda name, array: sizes.append(array.nbytes))
        most = largest_size(sizes, budget)
    with GoldenWriter(path) as writer:
        keeper = _Keeper(writer, most)
        run(keeper)
        writer.metadata = {
            **describe_model(model),
            "prompt": text,
            "image_processor": {**settings, **{name: options[name] for name in options.keys() & settings}},
            "inputs": keeper.inputs,
            "rows": keeper.rows,
        }


class _Keeper:
    """Puts taps into a file: whole, or, above a size, drawn rows of them. Inputs are always kept whole."""

    def __init__(self, writer: GoldenWriter, most_bytes: int | None) -> None:
        self._writer, self._most = writer, most_bytes
        self.inputs: dict[str, str] = {}
        self.rows: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str, array: np.ndarray) -> None:
        if is_input(name):
            self.inputs[name] = checksum(array)
        rows = None if self._most is None or is_input(name) else drawn_rows(name, array, self._most)
        if rows is None:
            self._writer.add(name, array)
            return
        self.rows[name] = moments(array)
        self._writer.add(name, as_rows(array)[rows])
        self._writer.add(name + ROWS, rows)


def describe_model(model: Ovis2ForConditionalGeneration) -> dict[str, Any]:
    """Return a golden file's description of the model: configuration, type, device, weights, and versions of libraries."""
    device = "cpu" if model.xp is np else f"cuda:{model.xp.cuda.runtime.getDevice()}"
    return {
        "convention": model.convention.name,
        "dtype": model.compute_dtype.name,
        "device": device,
        "config": model.config.to_dict(),
        "generation_config": dict(model.generation_config),
        "libraries": {name: version(name) for name in LIBRARIES},
        "weights": fingerprint(model.weights),
    }


def fingerprint(weights: Mapping[str, Array]) -> str:
    """Return the SHA-256 of all weights: of each, in the order of their names, its name, its shape and its bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(to_host(weights[name]))
        digest.update(f"{name} {list(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
