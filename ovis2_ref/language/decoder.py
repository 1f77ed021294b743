"""Qwen2 (Yang et al., 2024, section 2.2): embeddings pass through layers of attention and gated perceptrons and become hidden
states, from which the output head reads the next token.

embeddings (b, t, H) -> layers: x + attention(norm(x)), then x + mlp(norm(x)) -> norm -> hidden states (b, t, H)
"""

from typing import NamedTuple

from jaxtyping import Float, Int, Shaped

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.attention import attention
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.masks import layer_masks
from ovis2_ref.language.rope import rotary_tables
from ovis2_ref.ops import Weights, gated_perceptron, rms_norm
from ovis2_ref.runtime.arrays import Array, array_module
from ovis2_ref.runtime.taps import tap


class DecoderOutput(NamedTuple):
    """What the decoder computes; the last two are None unless asked for."""

    last_hidden_state: Float[Array, "batch tokens hidden"]
    """After the final norm."""
    hidden_states: tuple[Float[Array, "batch tokens hidden"], ...] | None = None
    """The embeddings, then each layer's output, the last one after the final norm."""
    attentions: tuple[Float[Array, "batch heads tokens keys"], ...] | None = None
    """Each layer's attention weights; with a sliding window over the last keys only."""


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
    position_ids: Int[Array, "_ tokens"] | None = None,
    attention_mask: Shaped[Array, "..."] | None = None,
    cache: KVCache | None = None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> DecoderOutput:
    """Hidden states of tokens that follow those in the `cache`, which takes them in.

    position_ids (batch or 1, tokens): the cache's length and up, unless given; the mask doesn't shift them. attention_mask:
    (batch, past + tokens), 0 at padding; or a whole mask (batch or 1, heads or 1, tokens, past + tokens), booleans that are true
    where a query sees a key, or numbers to add to the scores. Raises `InputError` for a mask of another shape.
    """
    tap(f"{name}.inputs_embeds", inputs_embeds)
    batch, tokens, _ = inputs_embeds.shape
    seen = None if cache is None else cache.length
    if position_ids is None:
        position_ids = array_module(inputs_embeds).arange(tokens)[None] + (seen or 0)
    masks = layer_masks(attention_mask, batch, position_ids, seen, config, inputs_embeds.dtype)
    rotary = rotary_tables(position_ids, config, inputs_embeds.dtype)
    tap(f"{name}.rotary_emb.cos", rotary[0])
    tap(f"{name}.rotary_emb.sin", rotary[1])
    x = inputs_embeds
    hidden_states, attentions = [], []
    for i, kind in enumerate(config.layer_types):
        if output_hidden_states:
            hidden_states.append(x)
        x, p = layer(x, weights, f"{name}.layers.{i}", config, i, rotary, masks[kind], cache, output_attentions)
        attentions.append(p)
    if cache is not None:
        cache.advance(tokens)
    x = rms_norm(x, weights[f"{name}.norm.weight"], config.rms_norm_eps)
    tap(f"{name}.norm.output", x)
    return DecoderOutput(
        x, (*hidden_states, x) if output_hidden_states else None, tuple(attentions) if output_attentions else None
    )


def layer(
    x: Float[Array, "batch tokens hidden"],
    weights: Weights,
    name: str,
    config: Qwen2Config,
    index: int,
    rotary: tuple[Array, Array],
    mask: Array | None,
    cache: KVCache | None,
    output_attentions: bool,
) -> tuple[Float[Array, "batch tokens hidden"], Float[Array, "batch heads tokens keys"] | None]:
    """x + attention(norm(x)), then x + mlp(norm(x)) (pre-norm); and the attention weights if they are asked for."""
    normed = rms_norm(x, weights[f"{name}.input_layernorm.weight"], config.rms_norm_eps)
    tap(f"{name}.input_layernorm.output", normed)
    attended, p = attention(normed, weights, f"{name}.self_attn", config, index, rotary, mask, cache, output_attentions)
    x = x + attended
    tap(f"{name}.after_attention", x)
    normed = rms_norm(x, weights[f"{name}.post_attention_layernorm.weight"], config.rms_norm_eps)
    tap(f"{name}.post_attention_layernorm.output", normed)
    x += gated_perceptron(normed, weights, f"{name}.mlp", config.hidden_act, has_bias=False)
    tap(f"{name}.output", x)
    return x, p
