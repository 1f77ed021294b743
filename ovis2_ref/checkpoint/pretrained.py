"""What every model here is: a configuration, weights by checkpoint name, and a convention; from a folder, drawn, to a folder."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from ovis2_ref.checkpoint.loading import load_weights, read_config, read_generation_config
from ovis2_ref.checkpoint.names import EMBEDDINGS
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.checkpoint.saving import save_checkpoint
from ovis2_ref.checkpoint.streaming import StreamedWeights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention, as_convention
from ovis2_ref.runtime.arrays import Array, array_module, as_dtype, device_module
from ovis2_ref.runtime.weights import Weights


class PretrainedModel:
    """Holds what a model's functions need. `weights` may be any mapping of arrays: in memory, on a GPU, or read on demand."""

    def __init__(
        self,
        config: Ovis2Config,
        weights: Mapping[str, Array],
        convention: str | Convention = "transformers",
        generation_config: Mapping[str, Any] | None = None,
    ) -> None:
        """A model of `config`, with `weights` by checkpoint name, that computes what `convention` computes."""
        self.config = config
        self.weights = weights
        self.parts = Weights(weights)
        """The same weights, part by part: `parts / "model" / "vision_tower"`."""
        self.convention = as_convention(convention)
        self.generation_config = dict(generation_config or {})

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: Any = "float32",
        device: str = "cpu",
        convention: str | Convention = "transformers",
        stream: bool = False,
        progress: bool = False,
    ) -> Self:
        """The model in a checkpoint folder, of transformers' layout or the authors'.

        `dtype` is the type it computes in, whatever the file holds; `device` "cpu", "cuda", "cuda:N" or "auto". `stream` leaves
        the weights in the file and reads each when it is needed. `progress` shows a bar while they load.
        Raises `CheckpointError` for a folder that is missing, damaged or hostile, `ConfigError` for a model that can't be.
        """
        xp = device_module(device)
        config = read_config(folder, convention)
        if stream:
            weights: Mapping[str, Array] = StreamedWeights(folder, config, as_dtype(dtype), xp)
        else:
            weights = load_weights(folder, config, as_dtype(dtype), xp, progress=progress)
        return cls(config, weights, convention, read_generation_config(folder))

    @classmethod
    def random(cls, config: Ovis2Config, seed: int, *, dtype: Any = "float32", device: str = "cpu") -> Self:
        """A model of that shape with weights drawn from `seed`, for trying out and measuring."""
        xp = device_module(device)
        return cls(config, {name: xp.asarray(weight) for name, weight in random_weights(config, seed, dtype).items()})

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, generation_config.json and the weights as transformers loads them, in the model's dtype."""
        save_checkpoint(folder, self.config, self.weights, self.generation_config)

    @property
    def xp(self) -> ModuleType:
        """The array module that the model computes with."""
        return array_module(self.weights[EMBEDDINGS])

    @property
    def dtype(self) -> np.dtype:
        """The type that the model computes in."""
        return self.weights[EMBEDDINGS].dtype
