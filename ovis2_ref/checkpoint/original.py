"""The authors' layout (AIDC-AI/Ovis, branch v2.0): translate its configuration and weight names to transformers'.

Nothing is computed: a renamed weight is the same bytes of the same file, and a third of a fused weight is a third of its bytes.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovis2_ref.checkpoint.names import HEAD, TEXT, VISION, VISUAL_EMBEDDINGS
from ovis2_ref.checkpoint.safetensors_file import StoredTensor
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.errors import CheckpointError, ConfigError
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, ORIGINAL_IDS

_BACKBONE = "visual_tokenizer.backbone"
_BEGINNINGS = {
    f"{_BACKBONE}.preprocessor.patchifier.proj.": f"{VISION}.transformer.embeddings.patch_embedding.",
    f"{_BACKBONE}.preprocessor.patchifier.norm.": f"{VISION}.transformer.embeddings.rms_norm.",
    f"{_BACKBONE}.preprocessor.pos_embed": f"{VISION}.transformer.embeddings.position_embedding.weight",
    f"{_BACKBONE}.trunk.blocks.": f"{VISION}.transformer.encoder.layers.",
    f"{_BACKBONE}.trunk.post_trunk_norm.": f"{VISION}.transformer.rms_norm.",
    "visual_tokenizer.head.0.": f"{VISION}.head_linear.",
    "visual_tokenizer.head.1.": f"{VISION}.head_norm.",
    "vte.": VISUAL_EMBEDDINGS.removesuffix("weight"),
    "llm.model.": f"{TEXT}.",
    "llm.lm_head.": HEAD.removesuffix("weight"),
}
_IN_BLOCKS = {
    ".norm_1.": ".rms_norm1.",
    ".norm_2.": ".rms_norm2.",
    ".attn.qkv.": ".attention.qkv.",
    ".attn.proj.": ".attention.out_proj.",
    ".mlp.fc1.": ".ffn.gate_proj.",
    ".mlp.fc2.": ".ffn.down_proj.",
    ".mlp.fc3.": ".ffn.up_proj.",
}


def transformers_name(key: str) -> str:
    """Return transformers' name of the authors' weight `key`; return any other name unchanged."""
    for theirs, ours in _BEGINNINGS.items():
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
            break
    if key.startswith(f"{VISION}.transformer.encoder.layers."):
        for theirs, ours in _IN_BLOCKS.items():
            key = key.replace(theirs, ours)
    return key


def in_transformers_layout(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the authors' weights under transformers' names and in its shapes: qkv (3 D, D) as three, the positions (1, N, D)
    as (N, D).

    Raises `CheckpointError` if two weights claim one name. The loader checks the shapes.
    """
    renamed: dict[str, StoredTensor] = {}
    for key, tensor in tensors.items():
        name = transformers_name(key)
        if name.endswith("position_embedding.weight") and tensor.shape[:1] == (1,):
            parts = {name: replace(tensor, shape=tensor.shape[1:])}
        elif ".attention.qkv." in name and tensor.shape and tensor.shape[0] % 3 == 0:
            parts = {name.replace(".qkv.", f".{part}_proj."): tensor.third(i) for i, part in enumerate("qkv")}
        else:
            parts = {name: tensor}
        for part, third in parts.items():
            if part in renamed:
                raise CheckpointError(f"{renamed[part].key!r} and {key!r} are both {part}; a checkpoint has it once")
            renamed[part] = third
    return renamed


def original_config(values: Mapping[str, Any], folder: Path, convention: Convention) -> Ovis2Config:
    """Return the configuration in the authors' config.json `values` (model_type ovis, llm_config, visual_tokenizer_config).

    The placeholders' ids are the authors' negative ones under convention "original", and under "transformers" those that the
    special tokens get when they are added to the tokenizer in `folder`. Raises `ConfigError` for another generation of Ovis.
    """
    text, visual = _part(values, "llm_config"), _part(values, "visual_tokenizer_config")
    backbone = _part(visual, "backbone_config")
    if visual.get("model_type") != "aimv2_visual_tokenizer" or backbone.get("model_type") != "aimv2":
        raise ConfigError(
            f"the visual tokenizer is {visual.get('model_type')!r} on {backbone.get('model_type')!r}; "
            "Ovis2's is 'aimv2_visual_tokenizer' on 'aimv2' (Ovis1.x and Ovis2.5 are other models)"
        )
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels")
    vision = {
        key: backbone[key]
        for key in (*sizes, "image_size", "patch_size", "rms_norm_eps", "qkv_bias")
        if key in backbone
    }
    vision |= {key: visual[key] for key in ("vocab_size", "hidden_stride", "tokenize_function", "tau") if key in visual}
    in_vocabulary = convention.placeholders_in_vocabulary
    atom, *indicators = placeholder_ids(folder) if in_vocabulary else ORIGINAL_IDS.values()
    return Ovis2Config.from_dict(
        {
            "vision_config": {**vision, "mlp_bias": backbone.get("use_bias", False)},
            "text_config": text,
            "image_token_id": atom,
            "visual_indicator_token_ids": indicators,
            "vocab_size": text.get("vocab_size", 0),
            "hidden_size": text.get("hidden_size", 0),
            "tie_word_embeddings": text.get("tie_word_embeddings", False),
        }
    )


def placeholder_ids(folder: Path) -> list[int]:
    """Return the ids of the picture's special tokens once they are added to the tokenizer in `folder`: the next free ones."""
    from ovis2_ref.text.tokenizer import Tokenizer  # imports `tokenizers`, which the other ways of loading don't need

    tokenizer = Tokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens((IMAGE_ATOM, *INDICATORS))
    return tokenizer.convert_tokens_to_ids([IMAGE_ATOM, *INDICATORS])


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    if not isinstance(part, Mapping):
        raise ConfigError(f"config.json of model_type ovis has no {name}; it is not an Ovis2 in the authors' layout")
    return part
