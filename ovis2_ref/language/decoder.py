"""Qwen2 (Yang et al., 2024): embeddings go through layers of attention and gated perceptrons and become hidden states."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float, Int, Shaped

from ovis2_ref.arrays import Array, array_module
from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.attention import attention
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.masks import attention_mask as make_mask
from ovis2_ref.language.rope import rotary_tables
from ovis2_ref.ops import ACTIVATIONS, linear, rms_norm
from ovis2_ref.trace import tap

Weights = Mapping[str, Array]


class DecoderOutput(NamedTuple):
    """What the decoder computed."""

    last_hidden_state: Float[Array, "batch tokens hidden"]
    """After the final norm."""
    hidden_states: tuple[Float[Array, "batch tokens hidden"], ...] | None
    """The embeddings, then each layer's output, the last one after the final norm."""
    attentions: tuple[Float[Array, "batch heads tokens keys"], ...] | None
    """Each layer's attention weights."""


def embed_tokens(
    input_ids: Int[Array, "batch tokens"], weights: Weights, name: str
) -> Float[Array, "batch tokens hidden"]:
    """The embedding table's rows for `input_ids`."""
    return weights[f"{name}.embed_tokens.weight"][input_ids]


def decoder(
    inputs_embeds: Float[Array, "batch tokens hidden"],
    weights: Weights,
    name: str,
    config: Qwen2Config,
    *,
    position_ids: Int[Array, "#batch tokens"] | None = None,
    attention_mask: Shaped[Array, "..."] | None = None,
    cache: KVCache | None = None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> DecoderOutput:
    """The hidden states of tokens that come after those in the cache."""
    xp = array_module(inputs_embeds)
    tokens = inputs_embeds.shape[1]
    seen = 0 if cache is None else cache.length
    if position_ids is None:
        position_ids = xp.arange(seen, seen + tokens)[None]
    rotary = rotary_tables(position_ids, config, inputs_embeds.dtype)
    x = inputs_embeds
    states, attentions = [x], []
    for i in range(config.num_hidden_layers):
        part = f"{name}.layers.{i}"
        window = config.sliding_window if config.layer_types[i] == "sliding_attention" else None
        mask = make_mask(attention_mask, position_ids, 0, seen, window, inputs_embeds.dtype)
        y = rms_norm(x, weights[f"{part}.input_layernorm.weight"], config.rms_norm_eps)
        y, p = attention(y, weights, f"{part}.self_attn", config, i, rotary, mask, cache)
        x = x + y
        y = rms_norm(x, weights[f"{part}.post_attention_layernorm.weight"], config.rms_norm_eps)
        gate = ACTIVATIONS[config.hidden_act](linear(y, weights[f"{part}.mlp.gate_proj.weight"]))
        gate *= linear(y, weights[f"{part}.mlp.up_proj.weight"])
        x = x + linear(gate, weights[f"{part}.mlp.down_proj.weight"])
        tap(f"{part}.output", x)
        states.append(x)
        attentions.append(p)
    if cache is not None:
        cache.advance(tokens)
    x = rms_norm(x, weights[f"{name}.norm.weight"], config.rms_norm_eps)
    states[-1] = x
    return DecoderOutput(x, tuple(states) if output_hidden_states else None, tuple(attentions) if output_attentions else None)
