"""The language model, value by value: embeddings -> Qwen2 layers -> logits -> the next token."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int
from ml_dtypes import finfo

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, TEXT, VISUAL_EMBEDDINGS
from ovis2_ref.config import Ovis2Config
from ovis2_ref.golden.formulas_vision import product
from ovis2_ref.golden.stages import TABLE, Aliases, Formula, Reference, Stage, numbered, spelled_out
from ovis2_ref.language.masks import layer_masks
from ovis2_ref.language.rope import rotary_tables, rotate
from ovis2_ref.merge import merge_embeddings
from ovis2_ref.ops import gated, merge_heads, scale, split_heads
from ovis2_ref.runtime.arrays import Array, widened
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.visual_tokenizer import indicator_embeddings


def text_rows(m: Reference, w: Weights, ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens hidden"]:
    """Return the rows of the text table; placeholders outside the vocabulary get row 0."""
    return m.weights[EMBEDDINGS][np.maximum(ids, 0)]


def merged_embeddings(m: Reference, w: Weights, ids: Array, text: Array, visual: Array) -> Array:
    """Return the text rows with the visual embeddings at the atoms, and the indicators' rows of the visual table."""
    indicators = indicator_embeddings(m.weights[VISUAL_EMBEDDINGS], m.config.vision_config)
    return merge_embeddings(ids, text, visual, indicators, m.config)


def rotary(m: Reference, w: Weights, positions: Array, index: int) -> Array:
    """Return the table of cosines (index 0) or of sines (1)."""
    return rotary_tables(positions, m.config.text_config, m.dtype)[index]


def rotated_heads(m: Reference, w: Weights, x: Array, cos: Array, sin: Array) -> Array:
    """Split q or k into its heads and rotate them."""
    return rotate(split_heads(x, m.config.text_config.head_dim), cos, sin)


def masked_scores(m: Reference, layer: int, q: Array, mask: Array, positions: Array, *keys: Array) -> Array:
    """q k^T / sqrt(head_dim) over the keys of all passes so far; a group of query heads shares the keys of one head.

    They are -infinity for the keys after the query, before its window, and at padding.
    """
    text = m.config.text_config
    k = np.concatenate(keys, axis=2)
    kind, seen = text.layer_types[layer], k.shape[2] - q.shape[2]
    added = layer_masks(mask[:, : k.shape[2]], len(q), positions, seen, text, m.dtype)[kind]
    k = k if added is None else k[:, :, -added.shape[-1] :]
    groups = q.reshape(len(q), k.shape[1], -1, q.shape[-1])
    scores = m.arithmetic.matmul(groups, k.swapaxes(-1, -2))
    scores = scale(scores.reshape(*q.shape[:3], -1), q.shape[-1] ** -0.5)
    if added is None:
        return scores
    return np.where(added.reshape(len(added), -1, *added.shape[-2:]) < 0, scores.dtype.type(-np.inf), scores)


def weights_of_scores(m: Reference, w: Weights, scores: Array) -> Array:
    """softmax(scores); equal weights for a query that sees no key."""
    return m.arithmetic.softmax(np.maximum(scores, finfo(scores.dtype).min))


def value_context(m: Reference, w: Weights, p: Array, *values: Array) -> Array:
    """Multiply the attention weights by the values of all passes so far, heads side by side."""
    text = m.config.text_config
    v = np.concatenate([split_heads(value, text.head_dim) for value in values], axis=2)[:, :, -p.shape[-1] :]
    groups = p.reshape(len(p), text.num_key_value_heads, -1, p.shape[-1])
    return merge_heads(m.arithmetic.matmul(groups, v).reshape(*p.shape[:3], -1))


def logits(m: Reference, w: Weights, x: Array) -> Array:
    """W x, W the text table where the head is tied to it."""
    return m.arithmetic.times(x, m.weights[EMBEDDINGS if m.config.tie_word_embeddings else HEAD].T)


def rms_norm(name: str) -> Callable[..., Array]:
    """Return the formula of the norm of that name, with the language model's epsilon."""
    return lambda m, w, x: m.arithmetic.rms_norm(x, w / name, m.config.text_config.rms_norm_eps)


def next_token(m: Reference, w: Weights, ids: Int[Array, "batch tokens"], *logits: Array) -> Int[Array, "batch 1"]:
    """Return the last of the `greedy_tokens`, which the next pass reads."""
    return greedy_tokens(m, w, ids, *logits)[:, -1:]


def greedy_tokens(
    m: Reference, w: Weights, ids: Int[Array, "batch tokens"], *logits: Array
) -> Int[Array, "batch passes"]:
    """Return the token with the highest score after each pass; the repetition penalty lowers the scores of earlier tokens."""
    seen = ids if m.convention.placeholders_in_vocabulary else ids[:, :0]
    chosen = []
    for scores in logits:
        last = widened(scores[:, -1]).copy()
        for row, before in zip(last, seen, strict=True):
            known = np.unique(before[before >= 0])
            row[known] = np.where(row[known] < 0, row[known] * m.repetition_penalty, row[known] / m.repetition_penalty)
        chosen.append(last.argmax(axis=-1)[:, None])
        seen = np.concatenate([seen, chosen[-1]], axis=1)
    return np.concatenate(chosen, axis=1)


def answer(m: Reference, w: Weights, ids: Int[Array, "batch tokens"], *logits: Array) -> Int[Array, "batch passes"]:
    """Return the greedy tokens up to the pass by which every row has had a stop token."""
    tokens = greedy_tokens(m, w, ids, *logits)
    stopped = np.isin(tokens, m.stop_tokens)
    return tokens[:, : int(stopped.argmax(axis=1).max()) + 1] if stopped.any(axis=1).all() else tokens


def token_mask(m: Reference, w: Weights, ids: Int[Array, "batch tokens"]) -> Int[Array, "batch tokens"]:
    """Return 0 for padding, which is the pad tokens before the first or after the last other token of a row; else 1."""
    real = ids != m.pad_token
    padded = ~np.logical_or.accumulate(real, axis=1) | ~np.logical_or.accumulate(real[:, ::-1], axis=1)[:, ::-1]
    return np.where(padded, 0, np.ones_like(ids))


PROMPT = (
    Formula("attention_mask", ("input_ids",), token_mask),
    Formula(
        "position_ids", ("attention_mask",), lambda m, w, mask: np.where(mask == 1, np.cumsum(mask, axis=1) - 1, 0)
    ),
)
STEP = (
    Formula("input_ids", ("scores so far",), next_token),
    Formula("attention_mask", ("mask before",), lambda m, w, mask: np.pad(mask, ((0, 0), (0, 1)), constant_values=1)),
    Formula("position_ids", ("positions before",), lambda m, w, positions: positions[:, -1:] + 1),
)
EMBEDDED = (Formula("embed_tokens.output", ("/input_ids",), text_rows),)
MERGED = (Formula("inputs_embeds", ("/input_ids", "embed_tokens.output", "visual"), merged_embeddings),)
UNMERGED = (Formula("inputs_embeds", ("embed_tokens.output",), lambda m, w, x: x),)
ROTARY = (
    Formula("rotary_emb.cos", ("/position_ids",), lambda m, w, positions: rotary(m, w, positions, 0)),
    Formula("rotary_emb.sin", ("/position_ids",), lambda m, w, positions: rotary(m, w, positions, 1)),
)


def layer_formulas(index: int) -> tuple[Formula, ...]:
    """Return the formulas of layer `index`, on which its window depends."""
    return (
        Formula("input_layernorm.output", ("input",), rms_norm("input_layernorm")),
        *(
            Formula(
                f"self_attn.{part}_proj.output",
                ("input_layernorm.output",),
                product("self_attn", f"{part}_proj"),
            )
            for part in "qkv"
        ),
        Formula("self_attn.q_rotated", ("self_attn.q_proj.output", "cos", "sin"), rotated_heads),
        Formula("self_attn.k_rotated", ("self_attn.k_proj.output", "cos", "sin"), rotated_heads),
        Formula(
            "self_attn.scores",
            ("self_attn.q_rotated", "/attention_mask", "/position_ids", "keys"),
            lambda m, w, q, mask, positions, *keys: masked_scores(m, index, q, mask, positions, *keys),
        ),
        Formula("self_attn.weights", ("self_attn.scores",), weights_of_scores),
        Formula("self_attn.context", ("self_attn.weights", "values"), value_context),
        Formula(
            "self_attn.o_proj.output",
            ("self_attn.context",),
            product("self_attn", "o_proj"),
        ),
        Formula("after_attention", ("input", "self_attn.o_proj.output"), lambda m, w, x, y: x + y),
        Formula(
            "post_attention_layernorm.output",
            ("after_attention",),
            rms_norm("post_attention_layernorm"),
        ),
        Formula(
            "mlp.gate_proj.output",
            ("post_attention_layernorm.output",),
            product("mlp", "gate_proj"),
        ),
        Formula(
            "mlp.up_proj.output",
            ("post_attention_layernorm.output",),
            product("mlp", "up_proj"),
        ),
        Formula(
            "mlp.activated",
            ("mlp.gate_proj.output", "mlp.up_proj.output"),
            lambda m, w, gate, up: gated(gate, up, ACTIVATIONS[m.config.text_config.hidden_act]),
        ),
        Formula("mlp.down_proj.output", ("mlp.activated",), product("mlp", "down_proj")),
        Formula("output", ("after_attention", "mlp.down_proj.output"), lambda m, w, x, y: x + y),
    )


FINAL_NORM = (Formula("norm.output", ("input",), rms_norm("norm")),)
LOGITS = (Formula("output", ("input",), logits),)


def language_stages(config: Ovis2Config, step: int, has_pictures: bool) -> Iterator[Stage]:
    """Yield the stages of the `step`-th pass (1: the prompt), from the ids to the logits."""
    before: Aliases = {
        "scores so far": ("input_ids", *(numbered("lm_head.output", s) for s in range(1, step))),
        "mask before": numbered("attention_mask", step - 1),
        "positions before": numbered("position_ids", step - 1),
    }
    yield from spelled_out(PROMPT if step == 1 else STEP, "", step, before)
    yield from spelled_out(EMBEDDED, TEXT, step)
    yield from spelled_out(
        MERGED if has_pictures and step == 1 else UNMERGED, TEXT, step, {"visual": f"{TABLE}.output"}
    )
    yield from spelled_out(ROTARY, TEXT, step)
    x = numbered(f"{TEXT}.inputs_embeds", step)
    for i in range(config.text_config.num_hidden_layers):
        part = f"{TEXT}.layers.{i}"
        passes = range(1, step + 1)
        aliases: Aliases = {
            "input": x,
            "cos": numbered(f"{TEXT}.rotary_emb.cos", step),
            "sin": numbered(f"{TEXT}.rotary_emb.sin", step),
            "keys": tuple(numbered(f"{part}.self_attn.k_rotated", s) for s in passes),
            "values": tuple(numbered(f"{part}.self_attn.v_proj.output", s) for s in passes),
        }
        yield from spelled_out(layer_formulas(i), part, step, aliases)
        x = numbered(f"{part}.output", step)
    yield from spelled_out(FINAL_NORM, TEXT, step, {"input": x})
    yield from spelled_out(LOGITS, "lm_head", step, {"input": numbered(f"{TEXT}.norm.output", step)})
