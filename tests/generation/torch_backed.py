"""A model for `generate` whose logits are a small transformers model's own, so that any difference in ids is generate's."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers

from ovis2_ref.convention import TRANSFORMERS, Convention

VOCABULARY = 40
BEFORE_5 = transformers.__version__.startswith("4.")
"""4.56 differs: a repetition penalty counts the padding; positions continue otherwise after masked tokens; beams mix up their
tiles; a prompt of one embedding is read at every step; the default length of 20 counts embeddings; some odd values give NaN
or pass."""


@cache
def reference(seed: int = 0, dtype: torch.dtype = torch.float32) -> transformers.Qwen2ForCausalLM:
    """Return a two-layer Qwen2 whose logits are spread widely enough for answers to vary and end."""
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    config._attn_implementation = "eager"
    model = transformers.Qwen2ForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + drawn / 10 if parameter.ndim == 1 else 1.5 * drawn / parameter.shape[-1] ** 0.5)
        model.model.embed_tokens.weight.copy_(torch.randn(VOCABULARY, 16, generator=generator))
    return model.to(dtype)


class TorchCache:
    """transformers' cache, with the name that `generate` knows it by."""

    def __init__(self) -> None:
        self.inner = transformers.DynamicCache()

    def reorder(self, indices: np.ndarray) -> None:
        """Continue rows from other rows, or from copies of them."""
        self.inner.reorder_cache(torch.from_numpy(np.asarray(indices)))


class TorchBacked:
    """What `generate` asks of a model, answered by a transformers model."""

    xp = np

    def __init__(
        self, model: Any, generation_config: dict[str, Any] | None = None, convention: Convention = TRANSFORMERS
    ) -> None:
        self.model = model
        self.convention = convention
        self.generation_config = generation_config or {}
        text_config = SimpleNamespace(eos_token_id=None, pad_token_id=None, vocab_size=VOCABULARY)
        self.config = SimpleNamespace(text_config=text_config, image_token_id=-300)

    def new_cache(self, batch: int, capacity: int) -> TorchCache:
        """Return an empty cache."""
        return TorchCache()

    def __call__(
        self, input_ids=None, inputs_embeds=None, past_key_values=None, pixel_values=None, **options: Any
    ) -> Any:
        arrays = {"input_ids": input_ids, "inputs_embeds": inputs_embeds}
        for name in ("attention_mask", "position_ids"):
            arrays[name] = options.pop(name)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items() if x is not None}
        with torch.no_grad():
            output = self.model(**tensors, past_key_values=past_key_values and past_key_values.inner, **options)
        return SimpleNamespace(logits=output.logits.numpy())


def transformers_generate(model: Any, input_ids: np.ndarray | None, **options: Any) -> np.ndarray:
    """Return the ids that transformers' own `generate` returns; arrays among the options become tensors."""
    tensors = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    if input_ids is not None:
        tensors["input_ids"] = torch.from_numpy(input_ids)
    with torch.no_grad():
        return model.generate(**tensors).numpy()
