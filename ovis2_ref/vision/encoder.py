"""AIMv2, the vision transformer (Fini et al., 2024, "Multimodal Autoregressive Pre-training of Large Vision Encoders").

tiles (n, channels, side, side) -> patches (n, P, D) -> x + attention(norm1(x)) -> x + ffn(norm2(x)) -> ... -> features (n, P, D)
"""

from typing import NamedTuple

from jaxtyping import Float

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import Convention
from ovis2_ref.ops import Weights, gated_perceptron, linear, matmul, project, rms_norm, row_blocks, scaled_softmax
from ovis2_ref.runtime.arrays import Array, array_module
from ovis2_ref.runtime.taps import is_listening, tap


class VisionOutput(NamedTuple):
    """What the vision transformer computes; the last two are empty unless asked for."""

    features: Array
    """(tiles, patches, hidden)."""
    hidden_states: tuple[Array, ...] = ()
    """The embedded patches and each block's output, before the final norm; each (tiles, patches, hidden)."""
    attentions: tuple[Array, ...] = ()
    """Each block's attention weights (tiles, heads, patches, patches)."""


def vision_transformer(
    pixel_values: Float[Array, "tiles channels height width"],
    weights: Weights,
    name: str,
    config: Ovis2VisionConfig,
    convention: Convention,
    *,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> VisionOutput:
    """Features of every patch of every tile.

    transformers' `Ovis2VisionTransformer` applies an RMSNorm after the last block. The authors' code has that norm but takes
    its features from before it (`hidden_states[-1]`, collected ahead of `post_trunk_norm`); the weights were trained so.
    """
    x = embed_patches(pixel_values, weights, f"{name}.embeddings", config)
    hidden_states, attentions = [x] if output_hidden_states else [], []
    for i in range(config.num_hidden_layers):
        x, probabilities = block(x, weights, f"{name}.encoder.layers.{i}", config, output_attentions)
        if output_hidden_states:
            hidden_states.append(x)
        if output_attentions:
            attentions.append(probabilities)
    if convention.vision_final_norm:
        x = rms_norm(x, weights[f"{name}.rms_norm.weight"], config.rms_norm_eps)
        tap(f"{name}.rms_norm.output", x)
    return VisionOutput(x, tuple(hidden_states), tuple(attentions))


def embed_patches(
    pixel_values: Float[Array, "tiles channels height width"], weights: Weights, name: str, config: Ovis2VisionConfig
) -> Float[Array, "tiles patches hidden"]:
    """norm(patch embedding) + position embedding. The norm comes before the positions, which are learned and absolute."""
    x = patch_embedding(pixel_values, weights, f"{name}.patch_embedding")
    x = rms_norm(x, weights[f"{name}.rms_norm.weight"], config.rms_norm_eps)
    tap(f"{name}.rms_norm.output", x)
    x += weights[f"{name}.position_embedding.weight"]
    tap(f"{name}.output", x)
    return x


def patch_embedding(
    pixel_values: Float[Array, "tiles channels height width"], weights: Weights, name: str
) -> Float[Array, "tiles patches hidden"]:
    """W patch + b, patches in reading order: a convolution whose stride is its kernel, as one product.

    Pixels to the right of and below the last whole patch are not looked at (padding="valid").
    """
    kernel = weights[f"{name}.weight"]
    hidden, channels, patch, _ = kernel.shape
    tiles, _, height, width = pixel_values.shape
    rows, columns = height // patch, width // patch
    patches = pixel_values[:, :, : rows * patch, : columns * patch].reshape(
        tiles, channels, rows, patch, columns, patch
    )
    patches = patches.transpose(0, 2, 4, 1, 3, 5).reshape(tiles, rows * columns, channels * patch * patch)
    embeddings = linear(patches, kernel.reshape(hidden, -1), weights[f"{name}.bias"])
    tap(f"{name}.output", embeddings)
    return embeddings


def block(
    x: Float[Array, "tiles patches hidden"],
    weights: Weights,
    name: str,
    config: Ovis2VisionConfig,
    output_attentions: bool = False,
) -> tuple[Float[Array, "tiles patches hidden"], Float[Array, "tiles heads patches patches"] | None]:
    """x + attention(norm1(x)), then x + ffn(norm2(x)) (pre-norm); and the attention weights if they are asked for."""
    normed = rms_norm(x, weights[f"{name}.rms_norm1.weight"], config.rms_norm_eps)
    tap(f"{name}.rms_norm1.output", normed)
    attended, probabilities = attention(normed, weights, f"{name}.attention", config, output_attentions)
    x = x + attended
    tap(f"{name}.after_attention", x)
    normed = rms_norm(x, weights[f"{name}.rms_norm2.weight"], config.rms_norm_eps)
    tap(f"{name}.rms_norm2.output", normed)
    x += gated_perceptron(normed, weights, f"{name}.ffn", config.hidden_act, config.mlp_bias)
    tap(f"{name}.output", x)
    return x, probabilities


def attention(
    x: Float[Array, "tiles patches hidden"],
    weights: Weights,
    name: str,
    config: Ovis2VisionConfig,
    output_attentions: bool = False,
) -> tuple[Float[Array, "tiles patches hidden"], Float[Array, "tiles heads patches patches"] | None]:
    """out_proj(concatenated heads of softmax(q k^T / sqrt(head_dim)) v) (Vaswani et al., 2017, section 3.2); nothing is masked.

    On a CPU a head of a tile at a time: its 1024 x 1024 scores fit a cache, those of all heads don't. The weights of all heads
    are put together only if they are asked for, or recorded.
    """
    xp = array_module(x)
    (tiles, patches, _), heads = x.shape, config.num_attention_heads

    def per_head(part: str) -> Float[Array, "tiles_and_heads patches head_dim"]:
        y = project(x, weights, f"{name}.{part}_proj", config.qkv_bias).reshape(tiles, patches, heads, config.head_dim)
        return y.swapaxes(1, 2).reshape(tiles * heads, patches, config.head_dim)

    q, k, v = (per_head(part) for part in "qkv")
    context = xp.empty_like(q)
    probabilities = None
    if output_attentions or is_listening(f"{name}.weights"):
        probabilities = xp.empty((tiles * heads, patches, patches), dtype=x.dtype)
    for rows in row_blocks(tiles * heads, patches * patches, xp):
        p = scaled_softmax(matmul(q[rows], k[rows].swapaxes(-1, -2)), config.head_dim**-0.5)
        context[rows] = matmul(p, v[rows])
        if probabilities is not None:
            probabilities[rows] = p
    context = context.reshape(tiles, heads, patches, config.head_dim).swapaxes(1, 2).reshape(x.shape)
    if probabilities is not None:
        probabilities = probabilities.reshape(tiles, heads, patches, patches)
        tap(f"{name}.weights", probabilities)
    tap(f"{name}.context", context)
    # transformers gives out_proj a bias by the same setting as q, k and v.
    return project(context, weights, f"{name}.out_proj", config.qkv_bias), probabilities
