"""The costs of a model: parameters of each part, floating-point operations of each stage, bytes of its KV cache.

Only matrix products count, a multiplication and an addition as two operations: an (m, k) by (k, n) product takes 2 m k n.
Norms, activations, softmax and rotations are left out: they are below a hundredth at the released sizes.
"""

import math

from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, TEXT, VISION, VISUAL_EMBEDDINGS, expected_shapes
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config

PARTS = {
    "vision: patches, positions": f"{VISION}.transformer.embeddings.",
    "vision: blocks": f"{VISION}.transformer.",
    "vision: head": f"{VISION}.",
    "visual embedding table": VISUAL_EMBEDDINGS,
    "text embedding table": EMBEDDINGS,
    "language: blocks": f"{TEXT}.",
    "output head": HEAD,
}
"""Parts of a model by the beginnings of their weights' names; the first that fits counts. Final norms count with their blocks."""


def parameters(config: Ovis2Config) -> dict[str, int]:
    """Return the number of parameters in each part, in the order of their use; a tied output head has none."""
    counts = dict.fromkeys(PARTS, 0)
    for name, shape in expected_shapes(config).items():
        part = next(part for part, beginning in PARTS.items() if name.startswith(beginning))
        counts[part] += math.prod(shape)
    return counts


def operations(config: Ovis2Config, tiles: int, tokens: int) -> dict[str, int]:
    """Return the operations of each stage for pictures of `tiles` tiles in a prompt of `tokens` tokens, and for one token
    after it.
    """
    vision, text = config.vision_config, config.text_config
    head = 2 * text.hidden_size * text.vocab_size
    return {
        "vision transformer": tiles * _vision_operations(vision),
        "visual tokens": tiles
        * vision.tokens_per_tile
        * 2
        * (vision.hidden_size * vision.hidden_stride**2)
        * _words(vision),
        "visual embeddings": tiles * vision.tokens_per_tile * 2 * _words(vision) * config.hidden_size,
        "prefill": tokens * _block_operations(text, tokens) + head,
        "one more token": _block_operations(text, tokens + 1) + head,
    }


def _vision_operations(config: Ovis2VisionConfig) -> int:
    """Return the operations of one tile in the ViT. A block: four D x D projections, scores and mixing over P x P, three D x I
    products.
    """
    patches, width = config.patches_per_side**2, config.hidden_size
    embedding = 2 * patches * width * config.num_channels * config.patch_size**2
    projections = 2 * patches * (4 * width * width + 3 * width * config.intermediate_size)
    attention = 2 * 2 * patches * patches * width
    return embedding + config.num_hidden_layers * (projections + attention)


def _block_operations(config: Qwen2Config, seen: int) -> int:
    """Return the operations of one token in all layers, where attention reads `seen` tokens, hidden ones included."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    projections = 2 * config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    return config.num_hidden_layers * (projections + 2 * 2 * seen * queries)


def _words(config: Ovis2VisionConfig) -> int:
    return config.vocab_size - config.num_visual_indicator_tokens


def cache_bytes_per_token(config: Qwen2Config, itemsize: int) -> int:
    """Return the bytes of KV cache for one token: keys and values, in every layer, for every key-value head."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * itemsize
