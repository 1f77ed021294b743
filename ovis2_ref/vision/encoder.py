"""AIMv2, the vision transformer (Fini et al., 2024, "Multimodal Autoregressive Pre-training of Large Vision Encoders").

tiles (n, channels, side, side) -> patches (n, P, D) -> x + attention(norm1(x)) -> x + ffn(norm2(x)) -> ... -> features (n, P, D)
"""

from jaxtyping import Float

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import Convention
from ovis2_ref.ops import attend, feed_forward, linear, merge_heads, rms_norm, split_heads
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.parts import by_parts
from ovis2_ref.runtime.weights import Weights


def vision_transformer(
    pixel_values: Float[Array, "tiles channels height width"],
    w: Weights,
    config: Ovis2VisionConfig,
    convention: Convention,
) -> Float[Array, "tiles patches hidden"]:
    """Return the features of every patch of every tile: embed, pass all blocks, norm.

    transformers' `Ovis2VisionTransformer` ends with an RMSNorm. The authors' code has that norm but takes its features from
    before it (`hidden_states[-1]`, collected ahead of `post_trunk_norm`), and the weights were trained that way.
    """
    x = embed_patches(pixel_values, w / "embeddings", config)
    for i in range(config.num_hidden_layers):
        x = block(x, w / "encoder" / "layers" / i, config)
    return rms_norm(x, w / "rms_norm", config.rms_norm_eps) if convention.vision_final_norm else x


def embed_patches(
    pixel_values: Float[Array, "tiles channels height width"], w: Weights, config: Ovis2VisionConfig
) -> Float[Array, "tiles patches hidden"]:
    """norm(patch embedding) + position embedding: the norm comes before the positions, which are learned and absolute."""
    x = rms_norm(patch_embedding(pixel_values, w / "patch_embedding"), w / "rms_norm", config.rms_norm_eps)
    return w.tap("output", x + (w / "position_embedding")["weight"])


def patch_embedding(
    pixel_values: Float[Array, "tiles channels height width"], w: Weights
) -> Float[Array, "tiles patches hidden"]:
    """W patch + b, patches in reading order: a convolution whose stride is its kernel, as one product.

    Pixels to the right of and below the last whole patch are ignored (padding="valid").
    """
    return linear(patches_of(pixel_values, w["weight"].shape[-1]), w)


def patches_of(
    pixel_values: Float[Array, "tiles channels height width"], patch: int
) -> Float[Array, "tiles patches values"]:
    """Return the pixels of each patch in a row, channel by channel; patches in reading order, without incomplete ones."""
    tiles, channels, height, width = pixel_values.shape
    rows, columns = height // patch, width // patch
    squares = pixel_values[:, :, : rows * patch, : columns * patch].reshape(
        tiles, channels, rows, patch, columns, patch
    )
    return squares.transpose(0, 2, 4, 1, 3, 5).reshape(tiles, rows * columns, channels * patch * patch)


def block(
    x: Float[Array, "tiles patches hidden"], w: Weights, config: Ovis2VisionConfig
) -> Float[Array, "tiles patches hidden"]:
    """x + attention(norm1(x)), then x + ffn(norm2(x)) (pre-norm)."""
    eps = config.rms_norm_eps
    x = w.tap("after_attention", x + attention(rms_norm(x, w / "rms_norm1", eps), w / "attention", config))
    return w.tap("output", x + feed_forward(rms_norm(x, w / "rms_norm2", eps), w / "ffn", config.hidden_act))


@by_parts("q_proj", "k_proj", "v_proj", last="out_proj", unit="head_dim")
def attention(
    x: Float[Array, "tiles patches hidden"], w: Weights, config: Ovis2VisionConfig
) -> Float[Array, "tiles patches hidden"]:
    """out_proj(softmax(q k^T / sqrt(head_dim)) v), all heads (Vaswani et al., 2017, section 3.2); nothing is masked."""
    q, k, v = (split_heads(linear(x, w / f"{part}_proj"), config.head_dim) for part in "qkv")
    return linear(w.tap("context", merge_heads(attend(q, k, v, None, w))), w / "out_proj")
