"""Record transformers' Ovis2 with hooks: the same taps, the same file. This file never imports torch."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ovis2_ref.checkpoint.names import TEXT, VISION
from ovis2_ref.golden.budget import checksum
from ovis2_ref.golden.file import GoldenWriter
from ovis2_ref.golden.record import Run
from ovis2_ref.golden.stages import TABLE, VIT, is_input

Show = Callable[[str, np.ndarray], None]

OUTPUTS = (
    "rms_norm", "rms_norm1", "rms_norm2", "q_proj", "k_proj", "v_proj", "out_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    "head_linear", "head_norm", "embed_tokens", "input_layernorm", "post_attention_layernorm", "norm", "lm_head",
    "visual_embeddings_table",
)  # fmt: skip
"""Modules whose output is a tap, by the last word of their names; also the embeddings and each layer."""
INPUTS_OF = {
    "down_proj": "activated",
    "out_proj": "context",
    "o_proj": "context",
    "rms_norm2": "after_attention",
    "post_attention_layernorm": "after_attention",
    "head_linear": "merged",
}
"""Modules whose input is a tap of the part that they belong to."""


def record_transformers(
    path: str | Path,
    model: Any,
    inputs: Mapping[str, Any],
    *,
    tokens: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a golden file of a run of transformers' `Ovis2ForConditionalGeneration` (5.17 to 5.24).

    inputs: the output of its processor: `input_ids`, `attention_mask`, `pixel_values`. tokens: greedy tokens to generate, for a
    single prompt; 0 for one forward pass. Attention weights are recorded only with attn_implementation="eager".
    """
    with GoldenWriter(path) as writer:
        kept: dict[str, str] = {}

        def take(name: str, array: np.ndarray) -> None:
            if is_input(name):
                kept[name] = checksum(array)
            writer.add(name, array)

        run = Run(take)
        if "pixel_values" in inputs:
            run("pixel_values", _array(inputs["pixel_values"]))
        run.mask = _array(inputs["attention_mask"]).astype(np.int64)
        with hooks(model, run):
            if tokens:
                model.generate(**inputs, max_new_tokens=tokens, do_sample=False, num_beams=1, streamer=run)
            else:
                run.put(_array(inputs["input_ids"]))
                model(**inputs)
        version = sys.modules["transformers"].__version__
        writer.metadata = {
            "dtype": str(model.dtype).removeprefix("torch."),
            "convention": "transformers",
            "device": str(model.device),
            "libraries": {"transformers": version, "torch": sys.modules["torch"].__version__},
            "inputs": kept,
            **(metadata or {}),
        }


@contextmanager
def hooks(model: Any, show: Show) -> Iterator[None]:
    """Call `show(tap, array)` for every value of the model's passes inside the block, in execution order."""
    handles: list[Any] = []
    for name, module in model.named_modules():
        handles += _of_module(name, module, show)
    names = {module: name for name, module in model.named_modules()}
    try:
        with _attention_functions(model, names, show):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _of_module(name: str, module: Any, show: Show) -> Iterator[Any]:
    """Yield the hooks on one module. Those on inputs come before those on outputs, as the values do."""
    part, _, word = name.rpartition(".")
    if word in INPUTS_OF:
        yield module.register_forward_pre_hook(lambda _, args: show(f"{part}.{INPUTS_OF[word]}", _array(args[0])))
    if name == f"{TEXT}.layers.0.input_layernorm":
        yield module.register_forward_pre_hook(lambda _, args: show(f"{TEXT}.inputs_embeds", _array(args[0])))
    if name == f"{TEXT}.rotary_emb":
        yield module.register_forward_hook(lambda _, args, tables: _show_tables(tables, show))
    elif name == VISION:
        yield module.register_forward_hook(
            lambda _, args, output: show(f"{VISION}.tokens", _array(output.pooler_output))
        )
    elif name == f"{VIT}.embeddings.patch_embedding":
        yield module.register_forward_hook(
            lambda _, args, output: show(f"{name}.output", _array(output.flatten(2).transpose(1, 2)))
        )
    elif name == TABLE:  # called a second time for the rows of the indicators, with whole numbers
        yield module.register_forward_hook(
            lambda _, args, output: show(f"{name}.output", _array(output)) if args[0].is_floating_point() else None
        )
    elif word in OUTPUTS or word.isdecimal() or name == f"{VIT}.embeddings":
        yield module.register_forward_hook(
            lambda _, args, output: show(f"{name}.output", _array(output[0] if isinstance(output, tuple) else output))
        )


def _show_tables(tables: Any, show: Show) -> None:
    """Show the rotary tables; transformers' hold every column twice."""
    for name, table in zip(("cos", "sin"), tables, strict=True):
        show(f"{TEXT}.rotary_emb.{name}", _array(table[..., : table.shape[-1] // 2]))


@contextmanager
def _attention_functions(model: Any, names: Mapping[Any, str], show: Show) -> Iterator[None]:
    """Show the inputs of transformers' attention functions, and the weights where a function returns them."""

    class Listening:
        def __init__(self, functions: Any) -> None:
            self.functions = functions

        def get_interface(self, name: str, default: Any) -> Any:
            function = self.functions.get_interface(name, default)

            def listening(module: Any, query: Any, key: Any, *arguments: Any, **options: Any) -> Any:
                part = names[module]
                if part.startswith(TEXT):
                    show(f"{part}.q_rotated", _array(query))
                    show(f"{part}.k_rotated", _array(key[:, :, -query.shape[2] :]))
                output, weights = function(module, query, key, *arguments, **options)
                if weights is not None:
                    show(f"{part}.weights", _array(weights))
                return output, weights

            return listening

    files: set[Any] = {
        sys.modules[type(module).__module__]
        for module, name in names.items()
        if name.endswith(("attention", "self_attn"))
    }
    functions = {file: file.ALL_ATTENTION_FUNCTIONS for file in files}
    try:
        for file in files:
            file.ALL_ATTENTION_FUNCTIONS = Listening(functions[file])
        yield
    finally:
        for file in files:
            file.ALL_ATTENTION_FUNCTIONS = functions[file]


def _array(tensor: Any) -> np.ndarray:
    """Return a copy of a tensor as a NumPy array."""
    host = tensor.detach().cpu()
    if str(host.dtype) == "torch.bfloat16":
        return host.float().numpy().astype(ml_dtypes.bfloat16)
    return host.numpy().copy()
