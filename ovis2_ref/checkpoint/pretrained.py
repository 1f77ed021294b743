"""The base of the models: a configuration, weights by checkpoint name and a convention; loaded, drawn at random, or saved."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from ovis2_ref.checkpoint.loading import (
    StreamedWeights,
    keeps_packed,
    load_weights,
    read_config,
    read_generation_config,
    stored_dtype,
)
from ovis2_ref.checkpoint.names import EMBEDDINGS
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.checkpoint.saving import save_checkpoint
from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.authors_names import AUTHORS_ARGUMENTS, authors_arguments, longest_sequence
from ovis2_ref.compat.devices import compute_dtype, device_name
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.idle import MODEL_LOADING, SAVING
from ovis2_ref.compat.model_names import ModelNames, check_weights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import ORIGINAL, Convention, as_convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, choice, mapping, shown, whole
from ovis2_ref.runtime.arrays import Array, array_module, device_module
from ovis2_ref.runtime.weights import Weights

LOADED = ("torch_dtype", "device_map", "revision", "cache_dir", "config", "generation_config", "attn_implementation")
"""transformers' arguments of `from_pretrained` that have an effect, beside our own."""
OWN = ("dtype", "device", "convention", "stream", "keep_quantized", "adapter", "progress", *AUTHORS_ARGUMENTS)
"""Our own arguments, and the authors' under their convention."""
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""transformers' ways to compute attention: by the formula, or without the scores in memory."""


class PretrainedModel(ModelNames):
    """Hold what a model's functions need. `weights` may be any mapping of arrays: in memory, on a GPU, or read on demand."""

    def __init__(
        self,
        config: Ovis2Config,
        weights: Mapping[str, Array] | None = None,
        convention: str | Convention = "transformers",
        generation_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a model of `config`, with `weights` by checkpoint name, that computes what `convention` computes."""
        check_weights(weights, type(self).__name__)
        self.config = config
        self.weights: Mapping[str, Array] = weights  # type: ignore[assignment]
        self.parts = Weights(self.weights)
        """The same weights, part by part: `parts / "model" / "vision_tower"`."""
        self.convention = as_convention(convention)
        self.generation_config: Any = dict(generation_config or {})
        self.folder: Path | None = None
        """Where it was loaded from."""
        self.fuses_attention = False
        """Whether a GPU computes attention as one kernel, in 16 bits: see `set_attn_implementation`."""

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: Any = None,
        device: Any = None,
        convention: str | Convention = "transformers",
        stream: bool = False,
        keep_quantized: bool | None = None,
        adapter: str | Path | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Self:
        """Load the model in a checkpoint folder, of transformers' layout or the authors', or of a hub id in the local hub cache.

        `dtype` is the type it computes in, float32 whatever the file holds, or "auto" for the file's; `device` "cpu", "cuda",
        "cuda:N" or "auto". `stream` leaves the weights in the file and reads each when it is needed. `keep_quantized` keeps the
        packed weights of a GPTQ checkpoint packed in memory and computes each when it is needed, and leaves all others in the
        file; by default where all weights would not fit in memory. `adapter` is the folder of a LoRA adapter to apply; one in
        `folder` itself is applied, too. `progress` shows a bar while weights load. `options`:
        transformers' other arguments (`torch_dtype`, `device_map`, `revision`, `cache_dir`, `config`, `generation_config`,
        `attn_implementation`), see `compat.idle.MODEL_LOADING` for those that change nothing here; under convention "original"
        the authors' (`multimodal_max_length`, `llm_attn_implementation`).
        Raises `CheckpointError` for a folder that is missing, damaged or hostile, `ConfigError` for a model that can't work.
        """
        options = given(active("from_pretrained", options, MODEL_LOADING))
        check_flags(stream=stream, progress=progress, keep_quantized=keep_quantized)
        options, longest = authors_arguments(options, as_convention(convention))
        check_names("from_pretrained", options, (*LOADED, *OWN))
        root = checkpoint_folder(folder, options.get("cache_dir"), options.get("revision"))
        xp = device_module(device_name(options.get("device_map", "cpu") if device is None else device))
        config = options.get("config") or read_config(root, convention, adapter)
        if not isinstance(config, Ovis2Config):
            raise InputError(f"config={shown(config)} should be an Ovis2Config")
        asked = options.get("torch_dtype", "float32") if dtype is None else dtype
        kind = compute_dtype(asked, stored_dtype(root) if isinstance(asked, str) and asked == "auto" else None)
        keep_packed = not stream and keeps_packed(root, config, kind, keep_quantized)
        if stream or keep_packed:
            weights: Mapping[str, Array] = StreamedWeights(root, config, kind, xp, keep_packed, adapter)
        else:
            weights = load_weights(root, config, kind, xp, progress, adapter)
        settings = mapping("generation_config", options.get("generation_config")) or read_generation_config(root)
        model = cls(config, weights, convention, settings)
        model.name_or_path, model.folder = str(folder), root
        if model.convention is ORIGINAL:
            config.multimodal_max_length = longest_sequence(root, longest)  # type: ignore[attr-defined]
        model.set_attn_implementation(options.get("attn_implementation", "eager"))
        return model

    @classmethod
    def random(cls, config: Ovis2Config, seed: int, *, dtype: Any = "float32", device: str = "cpu") -> Self:
        """Return a model of that configuration with random weights drawn from `seed`, for tests and measurements."""
        if not isinstance(config, Ovis2Config):
            raise InputError(f"config={shown(config)} should be an Ovis2Config")
        xp, seed = device_module(device_name(device)), whole("seed", seed)
        weights = random_weights(config, seed, compute_dtype(dtype))
        return cls(config, {name: xp.asarray(weight) for name, weight in weights.items()})

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write config.json, generation_config.json and the weights as transformers loads them, in the model's dtype."""
        check_names("save_pretrained", active("save_pretrained", options, SAVING), ())
        save_checkpoint(folder, self.config, self.weights, self.generation_config)

    def set_attn_implementation(self, attn_implementation: Any) -> None:
        """Choose how a GPU computes attention: "eager" by the plain formula, the others by one kernel (`attention.cu`).

        The kernel computes pictures and prompts in 16 bits, not single steps. On a CPU, and while attention is recorded, the
        plain formula computes all. Raises `InputError` for a name that transformers doesn't have.
        """
        choice("attn_implementation", attn_implementation, ATTENTION)
        self.fuses_attention = attn_implementation != "eager"

    @property
    def anchor(self) -> Array:
        """The text table, which lies where the model computes, streamed or not."""
        return self.weights[EMBEDDINGS]

    @property
    def xp(self) -> ModuleType:
        """The array module that the model computes with."""
        return array_module(self.anchor)
