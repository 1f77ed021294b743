"""The names and shapes of an Ovis2's weights, as transformers' checkpoints have them."""

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config

VISION = "model.vision_tower"
VISUAL_EMBEDDINGS = "model.visual_embeddings_table.weight"
TEXT = "model.language_model"
EMBEDDINGS = f"{TEXT}.embed_tokens.weight"
HEAD = "lm_head.weight"

Shapes = dict[str, tuple[int, ...]]


def expected_shapes(config: Ovis2Config) -> Shapes:
    """Return every weight that a model of `config` has, with its shape, in the order in which the model uses them.

    A matrix is (outputs, inputs). A tied output head is not listed.
    """
    shapes = {
        **_vision_shapes(config.vision_config),
        VISUAL_EMBEDDINGS: (config.vision_config.vocab_size, config.hidden_size),
    }
    shapes |= _text_shapes(config.text_config)
    if not config.tie_word_embeddings:
        shapes[HEAD] = (config.text_config.vocab_size, config.hidden_size)
    return shapes


def _vision_shapes(config: Ovis2VisionConfig) -> Shapes:
    width, inner, words = (
        config.hidden_size,
        config.intermediate_size,
        config.vocab_size - config.num_visual_indicator_tokens,
    )
    embeddings = f"{VISION}.transformer.embeddings"
    shapes: Shapes = {
        f"{embeddings}.patch_embedding.weight": (width, config.num_channels, config.patch_size, config.patch_size),
        f"{embeddings}.patch_embedding.bias": (width,),
        f"{embeddings}.rms_norm.weight": (width,),
        f"{embeddings}.position_embedding.weight": (config.patches_per_side**2, width),
    }
    for index in range(config.num_hidden_layers):
        layer = f"{VISION}.transformer.encoder.layers.{index}"
        shapes[f"{layer}.rms_norm1.weight"] = (width,)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.attention.{projection}", width, width, config.qkv_bias)
        shapes[f"{layer}.rms_norm2.weight"] = (width,)
        shapes |= _linear(f"{layer}.ffn.gate_proj", inner, width, config.mlp_bias)
        shapes |= _linear(f"{layer}.ffn.up_proj", inner, width, config.mlp_bias)
        shapes |= _linear(f"{layer}.ffn.down_proj", width, inner, config.mlp_bias)
    shapes[f"{VISION}.transformer.rms_norm.weight"] = (width,)
    shapes[f"{VISION}.head_linear.weight"] = (words, width * config.hidden_stride**2)
    shapes[f"{VISION}.head_norm.weight"] = (words,)
    shapes[f"{VISION}.head_norm.bias"] = (words,)
    return shapes


def _text_shapes(config: Qwen2Config) -> Shapes:
    width, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    shapes: Shapes = {EMBEDDINGS: (config.vocab_size, width)}
    for index in range(config.num_hidden_layers):
        layer = f"{TEXT}.layers.{index}"
        shapes[f"{layer}.input_layernorm.weight"] = (width,)
        shapes |= _linear(f"{layer}.self_attn.q_proj", queries, width, True)
        shapes |= _linear(f"{layer}.self_attn.k_proj", keys, width, True)
        shapes |= _linear(f"{layer}.self_attn.v_proj", keys, width, True)
        shapes |= _linear(f"{layer}.self_attn.o_proj", width, queries, False)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (width,)
        shapes |= _linear(f"{layer}.mlp.gate_proj", inner, width, False)
        shapes |= _linear(f"{layer}.mlp.up_proj", inner, width, False)
        shapes |= _linear(f"{layer}.mlp.down_proj", width, inner, False)
    shapes[f"{TEXT}.norm.weight"] = (width,)
    return shapes


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return {**shapes, f"{name}.bias": (outputs,)} if bias else shapes
