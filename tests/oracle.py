"""The oracle: small transformers models of drawn configurations with drawn weights, made without any network.

transformers in float64 still computes its norms, softmax and rotary tables in float32, and `generate` the scores of the next
token; `lifted()` replaces those islands by the same formulas in float64, so that a float64 model is a float64 oracle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers
from transformers import modeling_rope_utils
from transformers.generation import utils as generation_utils
from transformers.models.ovis2 import modeling_ovis2
from transformers.models.qwen2 import modeling_qwen2

from ovis2_ref.config import Ovis2Config, Qwen2Config

TORCH_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def reference_config(config: Ovis2Config) -> transformers.Ovis2Config:
    """transformers' configuration with the values of ours, the rope settings in both spellings (4.56's and 5.x's)."""
    values = config.to_dict()
    rope = values["text_config"]["rope_parameters"]
    values["text_config"]["rope_theta"] = rope["rope_theta"]
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    values["text_config"]["rope_scaling"] = None if scaling["rope_type"] == "default" else scaling
    values["vision_config"].pop("tau")
    reference = transformers.Ovis2Config(**values)
    reference._attn_implementation = "eager"
    return reference


def reference_model(
    config: Ovis2Config, seed: int, dtype: str = "float32"
) -> transformers.Ovis2ForConditionalGeneration:
    """Return a transformers model of that configuration, with weights drawn so that no part of it is idle.

    Matrices are normal with variance 1 / inputs, norm weights near 1, biases near 0: one draw for every dtype, rounded to it.
    """
    return drawn(transformers.Ovis2ForConditionalGeneration(reference_config(config)), seed, dtype)


def reference_language_model(config: Qwen2Config, seed: int, dtype: str = "float32") -> transformers.Qwen2Model:
    """Return a transformers Qwen2 without a head, with weights drawn in the same way."""
    whole = Ovis2Config(text_config=config, vocab_size=config.vocab_size, hidden_size=config.hidden_size)
    reference = reference_config(whole).text_config
    reference._attn_implementation = "eager"
    return drawn(transformers.Qwen2Model(reference), seed, dtype)


def drawn(model: transformers.PreTrainedModel, seed: int, dtype: str) -> Any:
    """Return the model with drawn weights, in evaluation mode.

    Only the weights take `dtype`: the rotary embedding's inverse frequencies stay float32, as in a model that is loaded.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                values = values * 0.1 + (0.0 if name.endswith("bias") else 1.0)
            elif "embed" not in name or "patch_embedding" in name:
                values = values / parameter[0].numel() ** 0.5
            parameter.data = values.to(TORCH_DTYPES[dtype])
    return model.eval()


def weights_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return the model's weights under their checkpoint names, as NumPy arrays (bfloat16 through `ml_dtypes`)."""
    return {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return a copy of the tensor as a NumPy array."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()


def _rms_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def _attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, scaling: float, **_: Any
):
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


@contextmanager
def exact_powers() -> Iterator[None]:
    """torch's powers of float32 numbers, correctly rounded: its own are off by a unit in the last place once in a hundred."""

    def power(base: Any, exponent: Any) -> torch.Tensor:
        base, exponent = (torch.as_tensor(v, dtype=torch.float32).double() for v in (base, exponent))
        return torch.pow(base, exponent).float()

    with (
        patch.object(torch.Tensor, "__pow__", power),
        patch.object(torch.Tensor, "__rpow__", lambda exponent, base: power(base, exponent)),
    ):
        yield


def exact_frequencies(rotary: modeling_qwen2.Qwen2RotaryEmbedding, position_ids: torch.Tensor) -> tuple[Any, float]:
    """transformers' inverse frequencies and attention factor for these positions, from exact powers."""
    kind, functions = rotary.rope_type, modeling_rope_utils.ROPE_INIT_FUNCTIONS
    length = position_ids.max() + 1
    grown = kind == "dynamic" and length > rotary.config.max_position_embeddings
    # transformers 4 has the default among the functions, 5 in the class.
    compute = functions.get(kind, getattr(rotary, "compute_default_rope_parameters", None))
    with exact_powers():
        return compute(rotary.config, device=torch.device("cpu"), seq_len=length if grown else None)


def _rotary(self: Any, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    frequencies, factor = exact_frequencies(self, position_ids)
    angles = position_ids[..., None].double() * frequencies.double()
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * factor, angles.sin() * factor


TORCH_WITHOUT_FLOAT32 = SimpleNamespace(**{**vars(torch), "float32": torch.float64, "float": torch.float64})
"""What `generate` finds under the name of torch, so that it carries the scores in float64."""


@contextmanager
def lifted() -> Iterator[None]:
    """transformers' float32 islands in float64. The rotary inverse frequencies are float32 numbers in both programs."""
    with (
        patch.object(generation_utils, "torch", TORCH_WITHOUT_FLOAT32),
        patch.object(modeling_ovis2.Ovis2RMSNorm, "forward", _rms_norm),
        patch.object(modeling_qwen2.Qwen2RMSNorm, "forward", _rms_norm),
        patch.object(modeling_ovis2, "eager_attention_forward", _attention),
        patch.object(modeling_qwen2, "eager_attention_forward", _attention),
        patch.object(modeling_qwen2.Qwen2RotaryEmbedding, "forward", _rotary),
    ):
        yield
