"""Say what a folder holds that isn't read here, and the way out: one table, asked where a folder could not be loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ovis2_ref.checkpoint.adapter import SETTINGS, WEIGHTS
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.reading import has_file, read_json

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".bin.index.json")
PLAIN = "; plain weights and GPTQ are read here: "
FULL = "take the full weights that it was made from, or the model's GPTQ release"


class Evidence(NamedTuple):
    """What is known of a folder."""

    files: frozenset[str]
    method: str
    """The `quant_method` of config.json, in lower case."""
    tensors: Mapping[str, str]
    """The number type of each tensor by its name, where the weights could be opened."""

    def has(self, *endings: str) -> bool:
        """Return True if the name of a tensor ends so."""
        return any(name.endswith(endings) for name in self.tensors)

    def has_files(self, *endings: str) -> bool:
        """Return True if the name of a file ends so."""
        return any(name.endswith(endings) for name in self.files)


Rows = tuple[tuple[Callable[[Evidence], bool], str], ...]
UNREAD_WEIGHTS: Rows = (
    (
        lambda e: e.method == "bitsandbytes" or e.has(".SCB", ".absmax", ".quant_map"),
        "the weights are quantised by bitsandbytes" + PLAIN + "load it in transformers, call dequantize(), and save_pretrained",
    ),
    (
        lambda e: e.method == "awq" or (e.has(".qweight") and not e.has(".g_idx")),
        "the weights are quantised by AWQ" + PLAIN + FULL,
    ),
    (
        lambda e: e.method == "compressed-tensors" or e.has(".weight_packed"),
        "the weights are stored by compressed-tensors" + PLAIN + FULL,
    ),
    (
        lambda e: "fp8" in e.method or any(kind.startswith("F8") for kind in e.tensors.values()),
        "the weights are in FP8" + PLAIN + FULL,
    ),
    (
        lambda e: e.method not in ("", "gptq"),
        "the weights are quantised by a program whose packing isn't known here" + PLAIN + FULL,
    ),
)  # fmt: skip
"""What weights can be that don't fit config.json."""

NO_WEIGHTS: Rows = (
    (
        lambda e: e.has_files(".gguf"),
        "it holds a GGUF file, which is llama.cpp's format: take the safetensors that it was made from",
    ),
    (
        lambda e: bool(e.files & {SETTINGS, WEIGHTS}),
        "it holds a LoRA adapter alone: load the model that it was trained on with it, from_pretrained(model, adapter=folder)",
    ),
    (
        lambda e: e.has_files(*PICKLES),
        "it holds its weights as a pickle: reading one runs whatever code it contains, so it is refused. Save the model as "
        "safetensors with the program that made it (in transformers: save_pretrained)",
    ),
)  # fmt: skip
"""What a folder can hold in place of safetensors weights."""


def why_no_fit(folder: str | Path, tensors: Mapping[str, Any]) -> str | None:
    """Return what the weights `tensors` of `folder` are, if the table knows a reason why they don't fit its config.json."""
    config = read_json(folder, "config.json") if has_file(folder, "config.json") else {}
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else ""
    kinds = {name: tensor.kind for name, tensor in tensors.items()}
    return _first(UNREAD_WEIGHTS, Evidence(frozenset(), str(method or "").lower()[:100], kinds))


def why_no_weights(root: Path) -> str | None:
    """Return what `root` holds instead of weights, if the table knows it."""
    try:
        files = frozenset(path.name for path in root.iterdir())
    except OSError as error:
        raise CheckpointError(f"{root} can't be listed ({error.strerror})") from error
    return _first(NO_WEIGHTS, Evidence(files, "", {}))


def _first(rows: Rows, evidence: Evidence) -> str | None:
    return next((text for holds, text in rows if holds(evidence)), None)
