"""Mistakes in the language model's attention: rotary positions, masks, grouped heads."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_language import masked_scores, value_context
from ovis2_ref.golden.stages import Reference
from ovis2_ref.language.rope import rotary_tables, rotate
from ovis2_ref.ops import merge_heads, split_heads
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

TABLES = ("*.rotary_emb.cos", "*.rotary_emb.sin")
SCORES, CONTEXT = ("*.self_attn.scores",), ("*.self_attn.context",)


def rotated(turn: Callable[[Array, Array, Array], Array]) -> Callable[..., Array]:
    """Return the formula of q_rotated or k_rotated with another rotation: turn(heads, cos, sin)."""
    return lambda m, w, x, cos, sin: turn(split_heads(x, m.config.text_config.head_dim), cos, sin)


def interleaved(x: Array, cos: Array, sin: Array) -> Array:
    """Return the rotation of neighbouring numbers 2 i and 2 i + 1, as in GPT-J and in the original RoFormer."""
    a, b, cos, sin = x[..., ::2], x[..., 1::2], cos[:, None], sin[:, None]
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def in_bfloat16(x: Array, cos: Array, sin: Array) -> Array:
    """Return the rotation with tables rounded to bfloat16."""
    return rotate(x, *(table.astype(bfloat16).astype(x.dtype) for table in (cos, sin)))


TURNS: dict[str, tuple[Callable[[Array, Array, Array], Array], str]] = {
    "rotary: interleaved pairs": (interleaved, "number i of a head is paired with number i + head_dim / 2"),
    "rotary: turned the other way": (lambda x, cos, sin: rotate(x, cos, -sin), "(a cos - b sin, b cos + a sin)"),
    "rotary: missing": (lambda x, cos, sin: x, "q and k are turned"),
    "rotary: cos and sin swapped": (lambda x, cos, sin: rotate(x, sin, cos), "(a cos - b sin, b cos + a sin)"),
    "rotary: tables in bfloat16": (in_bfloat16, "the tables are made in float32"),
}


def tables(change: Callable[[Reference, Array], tuple[Any, Array]]) -> dict[str, Callable[..., Array]]:
    """Return the formulas of the two tables from a changed configuration and changed positions."""

    def of(index: int) -> Callable[..., Array]:
        def compute(m: Reference, w: Weights, positions: Array) -> Array:
            config, changed = change(m, positions)
            return rotary_tables(changed, config, m.dtype)[index]

        return compute

    return {TABLES[0]: of(0), TABLES[1]: of(1)}


def with_rope(m: Reference, **changes: Any) -> Any:
    """Return the language model's configuration with other rope parameters."""
    text = m.config.text_config
    return replace(text, rope_parameters={**text.rope_parameters, **changes})


TABLE_MISTAKES: dict[str, tuple[Callable[[Reference, Array], tuple[Any, Array]], str]] = {
    # Those of a later pass come first: in that pass others give the same table, and of equals the first is named.
    "rotary: a step's position one too low": (
        lambda m, p: (m.config.text_config, p - (p.shape[1] == 1)),
        "a new token's position is the count of the tokens before it",
    ),
    "rotary: a step's position one too high": (
        lambda m, p: (m.config.text_config, p + (p.shape[1] == 1)),
        "a new token's position is the count of the tokens before it",
    ),
    "rotary: base 10,000": (lambda m, p: (with_rope(m, rope_theta=1e4), p), "rope_theta in the configuration"),
    "rotary: base 1,000,000": (lambda m, p: (with_rope(m, rope_theta=1e6), p), "rope_theta in the configuration"),
    "rotary: base 500,000": (lambda m, p: (with_rope(m, rope_theta=5e5), p), "rope_theta in the configuration"),
    "rotary: positions halved": (lambda m, p: (with_rope(m, rope_type="linear", factor=2.0), p), "rope scaling"),
    "rotary: positions from 1": (lambda m, p: (m.config.text_config, p + 1), "the first token has position 0"),
    "rotary: all positions 0": (lambda m, p: (m.config.text_config, 0 * p), "position_ids"),
}


def masked_by(offset: int | None, tiled: bool = False, padding: bool = False) -> Callable[..., Array]:
    """Return the formula of the scores of keys up to `offset` after the query (None: all).

    `tiled` takes the key heads in turn for the query heads; `padding` shows the keys of padding, too.
    """

    def compute(m: Reference, w: Weights, q: Array, mask: Array, positions: Array, *keys: Array) -> Array:
        k = np.concatenate(keys, axis=2)
        group = q.shape[1] // k.shape[1]
        shared = np.tile(k, (1, group, 1, 1)) if tiled else np.repeat(k, group, axis=1)
        scores = m.arithmetic.matmul(q, shared.swapaxes(-1, -2)) * q.dtype.type(q.shape[-1] ** -0.5)
        last = np.arange(k.shape[2] - q.shape[2], k.shape[2])[:, None] + (k.shape[2] if offset is None else offset)
        seen = (np.arange(k.shape[2]) <= last) & (padding | (mask[:, None, None, : k.shape[2]] != 0))
        return np.where(seen, scores, scores.dtype.type(-np.inf))

    return compute


def tiled_context(m: Reference, w: Weights, p: Array, *values: Array) -> Array:
    """Return the context with the value heads taken in turn for the query heads."""
    v = np.concatenate([split_heads(value, m.config.text_config.head_dim) for value in values], axis=2)
    v = v[:, :, -p.shape[-1] :]
    return merge_heads(m.arithmetic.matmul(p, np.tile(v, (1, p.shape[1] // v.shape[1], 1, 1))))


def cache_with(keys: Callable[[tuple[Array, ...]], tuple[Array, ...]]) -> Callable[..., Array]:
    """Return the context of a decoding step over other values than all so far, the weights being those of the last keys."""

    def compute(m: Reference, w: Weights, p: Array, *values: Array) -> Array:
        return value_context(m, w, p, *(keys(values) if len(values) > 1 else values))

    return compute


def scores_with(keys: Callable[[tuple[Array, ...]], tuple[Array, ...]]) -> Callable[..., Array]:
    """Return the scores of a decoding step over other keys than all so far."""

    def compute(m: Reference, w: Weights, q: Array, mask: Array, positions: Array, *all_keys: Array) -> Array:
        layer = int(w.name.rpartition(".")[2])
        return masked_scores(m, layer, q, mask, positions, *(keys(all_keys) if len(all_keys) > 1 else all_keys))

    return compute


def older(values: tuple[Array, ...], axis: int) -> tuple[Array, ...]:
    """Return the keys of all passes where those of a step stand one place too early, and its own place is still zero."""
    *before, last = values
    joined = np.concatenate(before, axis=axis)
    kept = np.take(joined, range(joined.shape[axis] - 1), axis=axis)
    return kept, last, np.zeros_like(last)


LANGUAGE_CAUSES: tuple[Cause, ...] = (
    *(Cause(name, ("*.q_rotated", "*.k_rotated"), rotated(turn), look) for name, (turn, look) in TURNS.items()),
    *(
        Cause(name, (pattern,), compute, look)
        for name, (change, look) in TABLE_MISTAKES.items()
        for pattern, compute in tables(change).items()
    ),
    Cause("mask: missing", SCORES, masked_by(None), "the causal mask"),
    Cause("mask: padding seen", SCORES, masked_by(0, padding=True), "no query sees the keys of padding"),
    Cause("mask: one token of the future seen", SCORES, masked_by(1), "a query sees the keys up to itself"),
    Cause("mask: the token itself not seen", SCORES, masked_by(-1), "a query sees the keys up to itself"),
    Cause(
        "key heads in turn, not in groups",
        SCORES,
        masked_by(0, tiled=True),
        "query heads 0 to g - 1 share key head 0, and so on",
    ),
    Cause(
        "value heads in turn, not in groups",
        CONTEXT,
        tiled_context,
        "query heads 0 to g - 1 share value head 0, and so on",
    ),
    Cause(
        "cache: a step's key in the place of the last one",
        ("*.self_attn.scores",),
        scores_with(lambda keys: older(keys, 2)),
        "where a step's key is written: at the count of the tokens before it",
    ),
    Cause(
        "cache: a step's value in the place of the last one",
        ("*.self_attn.context",),
        cache_with(lambda values: older(values, 1)),
        "where a step's value is written: at the count of the tokens before it",
    ),
)
