"""Right runs of drawn models: of this program, of transformers, and in other orders of sums or lower types."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ovis2_ref import Ovis2Config, Ovis2ForConditionalGeneration
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.golden import read_golden, record_transformers
from ovis2_ref.golden.arithmetic import IN_ORDER, PLAIN, Arithmetic, in_order, rounded_factors
from ovis2_ref.golden.graph import run_stages
from ovis2_ref.golden.record import Run
from ovis2_ref.golden.replay import Replay
from ovis2_ref.golden.stages import Reference, is_input, split_number
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.runtime.taps import listening
from ovis2_ref.runtime.threads import num_threads, set_num_threads
from ovis2_ref.runtime.weights import Weights
from tests.oracle import TORCH_DTYPES, reference_model, weights_of
from tests.strategies import normal

TILES = 2


class Case(NamedTuple):
    """A drawn model and its inputs."""

    config: Ovis2Config
    seed: int

    def inputs(self, rows: int = 1) -> dict[str, np.ndarray]:
        """Return ids, mask and pixel values of so many prompts of two tiles each."""
        vision, atom = self.config.vision_config, self.config.image_token_id
        front = self.config.visual_indicator_token_ids[:1]
        ids = [[1, *front, *[atom] * (TILES * vision.tokens_per_tile), 2, 3, 4 + row] for row in range(rows)]
        pixels = normal(self.seed, rows * TILES, vision.num_channels, vision.image_size, vision.image_size)
        return {"input_ids": np.array(ids), "attention_mask": np.ones_like(ids), "pixel_values": pixels}

    def weights(self, dtype: str) -> dict[str, np.ndarray]:
        """Return the drawn weights."""
        return weights_of(reference_model(self.config, self.seed, dtype))

    def reference(self, dtype: str) -> Reference:
        """Return what to compute the stages with."""
        return Reference(Weights(self.weights(dtype)), self.config, TRANSFORMERS)


def ours(case: Case, dtype: str = "float32", rows: int = 1, tokens: int = 2, **options: Any) -> dict[str, np.ndarray]:
    """Return the values of this program's run; `options` of `generate`."""
    model = Ovis2ForConditionalGeneration(case.config, case.weights(dtype))
    inputs, values = case.inputs(rows), {}
    run = Run(values.__setitem__)
    run.mask = inputs["attention_mask"]
    with listening(run, run.wants):
        run("pixel_values", inputs["pixel_values"])
        model.generate(**inputs, max_new_tokens=tokens, do_sample=False, streamer=run, eos_token_id=None, **options)
    return {name: array.copy() for name, array in values.items()}


def theirs(
    case: Case, dtype: str = "float32", attention: str = "eager", rows: int = 1, tokens: int = 2
) -> dict[str, np.ndarray]:
    """Return the values of transformers' run: of `tokens` steps, or of one forward pass."""
    model = reference_model(case.config, case.seed, dtype)
    model.set_attn_implementation(attention)
    model.generation_config.eos_token_id = None
    inputs = {name: torch.from_numpy(array) for name, array in case.inputs(rows).items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(TORCH_DTYPES[dtype])
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        record_transformers(Path(folder) / "run", model, inputs, tokens=tokens)
        run = read_golden(Path(folder) / "run")
        return {name: run.taps[name] for name in run.names}


def hooked(case: Case, dtype: str = "float32", attention: str = "eager") -> dict[str, np.ndarray]:
    """Return what everybody records first: the first tensor of each module's first output, by its name; and the inputs."""
    model = reference_model(case.config, case.seed, dtype)
    model.set_attn_implementation(attention)
    inputs = {name: torch.from_numpy(array) for name, array in case.inputs().items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(TORCH_DTYPES[dtype])
    values: dict[str, np.ndarray] = {}

    def take(name: str, output: Any) -> None:
        while not torch.is_tensor(output) and output is not None:
            output = output[0]
        if output is not None:
            values.setdefault(name, output.float().numpy().astype(DTYPES[dtype]))

    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(lambda _, arguments, output, name=name: take(name, output))
    with torch.no_grad():
        model(**inputs)
    pixels = inputs["pixel_values"].float().numpy().astype(DTYPES[dtype])
    return {**case.inputs(), "pixel_values": pixels, **values}


def computed(case: Case, arithmetic: Arithmetic, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Return the values of a run whose products are computed in another arithmetic, or all of whose numbers are `dtype`."""
    stages = run_stages(case.config, TRANSFORMERS, 1, 2)
    inputs = case.inputs()
    known = {name: inputs[name] for name in ("input_ids", "pixel_values")}
    reference = replace(case.reference("float32"), arithmetic=arithmetic)
    replay = Replay(stages, reference, known, DTYPES["float32"], DTYPES[dtype])
    values = {tap: replay.value(tap) for tap in stages if not tap.startswith("image.")}
    return {name: x if x.dtype.kind in "iub" else x.astype(np.float32) for name, x in values.items()} | known


def first_row(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the part of a batch's values that belongs to its first prompt."""
    visual = ("pixel_values", "model.vision_tower", "model.visual_embeddings_table")
    return {name: array[: TILES if name.startswith(visual) else 1] for name, array in values.items()}


def without_cache(case: Case) -> dict[str, np.ndarray]:
    """Return the values of a run without a cache as those of one with it.

    These are of each later pass the last token's alone, and of the keys those in the window of the layer, if it has one. A
    generated token that stands for a part of a picture gets the visual row without a cache, the text row with it: such a
    model's first pass is returned.
    """
    values = ours(case, use_cache=False)
    passes = 1 if values["input_ids#2"][0, -1] >= case.config.image_token_id else 2
    kept = {}
    for name, array in values.items():
        tap, step = split_number(name)
        if step == 1 or is_input(name):
            kept[name] = array
        elif not tap.startswith(("model.vision_tower", "model.visual_embeddings_table")):
            if tap.endswith((".scores", ".weights")):
                scores = values[name.replace(".weights", ".scores")][0, 0, -1]
                kept[name] = array[:, :, -1:, np.isfinite(scores)]
            else:
                kept[name] = array[:, -1:] if array.ndim == 3 else array[:, :, -1:]
    return {
        name: array
        for name, array in kept.items()
        if split_number(name)[1] <= passes and (passes > 1 or name != "generated")
    }


def on_threads(number: int, run: Callable[[Case], dict[str, np.ndarray]]) -> Callable[[Case], dict[str, np.ndarray]]:
    """Return the same run on so many threads, of this program and of torch."""

    def call(case: Case) -> dict[str, np.ndarray]:
        before = num_threads(), torch.get_num_threads()
        set_num_threads(number)
        torch.set_num_threads(number)
        try:
            return run(case)
        finally:
            set_num_threads(before[0])
            torch.set_num_threads(before[1])

    return call


def by_blocks(size: int) -> Arithmetic:
    """Sum the products of each block of so many terms first (split K)."""

    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        starts = range(0, a.shape[-1], size)
        return sum((a[..., k : k + size] @ b[..., k : k + size, :] for k in starts), np.zeros((), a.dtype))

    return PLAIN._replace(name=f"blocks of {size}", matmul=matmul)


def by_lanes(count: int) -> Arithmetic:
    """Sum every `count`-th product first, as the lanes of a vector unit do."""

    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return sum((a[..., k::count] @ b[..., k::count, :] for k in range(count)), np.zeros((), a.dtype))

    return PLAIN._replace(name=f"{count} lanes", matmul=matmul)


def pairwise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum the products of each half first, and so on."""
    half = a.shape[-1] // 2
    if not half:
        return a * b
    return pairwise(a[..., :half], b[..., :half, :]) + pairwise(a[..., half:], b[..., half:, :])


def products(matmul: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Arithmetic:
    """Compute products by `matmul`."""
    return PLAIN._replace(name="other sums", matmul=matmul)


class Variant(NamedTuple):
    """A right way to compute that rounds otherwise."""

    run: Callable[[Case], dict[str, np.ndarray]]
    named: str = ""
    """The lower type that has to be named."""


def lower(name: str) -> Variant:
    """Round the factors of every product to a lower type."""
    return Variant(lambda case: computed(case, rounded_factors(name)), name)


VARIANTS: dict[str, Variant] = {
    "transformers, eager": Variant(theirs),
    "transformers, sdpa": Variant(lambda case: theirs(case, attention="sdpa")),
    "transformers, one thread": Variant(on_threads(1, theirs)),
    "transformers, two threads": Variant(on_threads(2, theirs)),
    "transformers, a row of a batch": Variant(lambda case: first_row(theirs(case, rows=3))),
    "transformers, sdpa, a row of a batch": Variant(lambda case: first_row(theirs(case, attention="sdpa", rows=3))),
    "this program, one thread": Variant(on_threads(1, ours)),
    "this program, two threads": Variant(on_threads(2, ours)),
    "this program, a row of a batch": Variant(lambda case: first_row(ours(case, rows=3))),
    "this program, no cache": Variant(without_cache),
    "sums from left to right": Variant(lambda case: computed(case, IN_ORDER)),
    "sums from right to left": Variant(
        lambda case: computed(case, in_order("from right to left", lambda count: np.arange(count)[::-1]))
    ),
    "sums in halves": Variant(lambda case: computed(case, products(pairwise))),
    "sums in blocks of 8": Variant(lambda case: computed(case, by_blocks(8))),
    "sums in 4 lanes": Variant(lambda case: computed(case, by_lanes(4))),
    "sums in float64": Variant(
        lambda case: computed(case, products(lambda a, b: (a.astype(np.float64) @ b).astype(a.dtype)))
    ),
    "products of TF32": lower("TF32"),
    "products of TF32, truncated": lower("TF32, truncated"),
    "products of bfloat16": lower("bfloat16"),
    "products of float16": lower("float16"),
}
"""Legitimate variants: the last four are right, but have to be named."""
