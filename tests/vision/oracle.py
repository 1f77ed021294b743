"""The vision room's oracle: transformers' vision tower of a drawn configuration, and what each of its modules computes."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from tests.oracle import TORCH_DTYPES, reference_model, to_numpy, weights_of
from tests.strategies import normal

TOWER = "model.vision_tower"
LEFT_OUT = ("act_fn", "ffn", "position_embedding")
"""The activation is tapped times `up`; a feed-forward's output is its last projection's; the positions are a weight."""


needs_hidden_states = pytest.mark.skipif(
    int(transformers.__version__.split(".")[0]) < 5,
    reason="transformers before 5 gives embeddings alone from get_image_features, no hidden states or attentions",
)


def model_and_weights(config: Ovis2VisionConfig, seed: int, dtype: str) -> tuple[Any, dict[str, np.ndarray]]:
    """transformers' Ovis2Model with that vision tower (and the smallest language model), and its weights by checkpoint name."""
    indicators = config.num_visual_indicator_tokens
    text = Qwen2Config(
        vocab_size=indicators + 3, hidden_size=8, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1,
    )  # fmt: skip
    whole = Ovis2Config(
        vision_config=config,
        text_config=text,
        image_token_id=2,
        visual_indicator_token_ids=list(range(3, 3 + indicators)),
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
    )
    model = reference_model(whole, seed, dtype)
    # The patches lie transposed in memory, where torch adds a 16-bit bias apart from the product, after one more rounding.
    embeddings = model.model.vision_tower.transformer.embeddings
    embeddings.register_forward_hook(lambda _module, _inputs, output: output.contiguous())
    return model.model, weights_of(model)


def tiles_for(config: Ovis2VisionConfig, seed: int, tiles: int, dtype: str) -> np.ndarray:
    """Standard normal pixel values for that many tiles."""
    side = config.image_size
    return normal(seed, tiles, config.num_channels, side, side).astype(dtype)


def as_torch(x: np.ndarray, dtype: str) -> torch.Tensor:
    """Return the array as a tensor of that type."""
    return torch.from_numpy(x.astype(np.float64)).to(TORCH_DTYPES[dtype])


def tower_outputs(model: Any, pixels: np.ndarray) -> tuple[dict[str, np.ndarray], Any]:
    """Return what each module of the vision tower computed, by checkpoint name, and what `get_image_features` returned."""
    values: dict[str, np.ndarray] = {}

    def keep(name: str) -> Any:
        def hook(module: torch.nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            if "patch_embedding" in name:
                output = output.flatten(2).transpose(1, 2)
            if isinstance(output, torch.Tensor) and not name.endswith(LEFT_OUT):
                values[f"{TOWER}.{name}"] = to_numpy(output)

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.vision_tower.named_modules() if name]
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    with torch.no_grad():
        output = model.get_image_features(as_torch(pixels, dtype), output_hidden_states=True, output_attentions=True)
    for hook in hooks:
        hook.remove()
    return values, output
