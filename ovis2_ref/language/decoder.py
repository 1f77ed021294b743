"""Qwen2 (Yang et al., 2024, section 2.2): embeddings pass through layers of attention and SwiGLU and become hidden states.

embeddings (b, t, H) -> layers: x + attention(norm(x)), then x + mlp(norm(x)) -> norm -> hidden states (b, t, H)
"""

from jaxtyping import Float, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.attention import attention
from ovis2_ref.language.forward_pass import ForwardPass
from ovis2_ref.ops import feed_forward, rms_norm
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.tape import differentiable
from ovis2_ref.runtime.weights import Weights


@differentiable
def embed_tokens(input_ids: Int[Array, "batch tokens"], w: Weights) -> Float[Array, "batch tokens hidden"]:
    """Return the embedding table's rows for `input_ids`."""
    table = w / "embed_tokens"
    return table.tap("output", table["weight"][input_ids])


def decoder(
    x: Float[Array, "batch tokens hidden"], w: Weights, config: Qwen2Config, this: ForwardPass
) -> Float[Array, "batch tokens hidden"]:
    """Return the hidden states of the embeddings `x`: pass all layers, norm. Add the tokens to the cache of `this` pass."""
    w.tap("inputs_embeds", x)
    (w / "rotary_emb").tap("cos", this.cos)
    (w / "rotary_emb").tap("sin", this.sin)
    for i in range(config.num_hidden_layers):
        x = layer(x, w / "layers" / i, config, i, this)
    if this.cache is not None:
        this.cache.advance(x.shape[1])
    return rms_norm(x, w / "norm", config.rms_norm_eps)


def layer(
    x: Float[Array, "batch tokens hidden"], w: Weights, config: Qwen2Config, index: int, this: ForwardPass
) -> Float[Array, "batch tokens hidden"]:
    """x + attention(norm(x)), then x + mlp(norm(x)) (pre-norm)."""
    norm1, norm2, eps = w / "input_layernorm", w / "post_attention_layernorm", config.rms_norm_eps
    x = w.tap("after_attention", x + attention(rms_norm(x, norm1, eps), w / "self_attn", config, index, this))
    return w.tap("output", x + feed_forward(rms_norm(x, norm2, eps), w / "mlp", config.hidden_act))
