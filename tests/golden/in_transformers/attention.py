"""Mistakes in the attention of transformers' model, and in its rotary positions."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.models.ovis2 import modeling_ovis2
from transformers.models.qwen2 import modeling_qwen2

from tests.golden.in_transformers.workbench import Change, Mistake, Workbench

Masked = Callable[[torch.Tensor, int], torch.Tensor]


def same(x: torch.Tensor) -> torch.Tensor:
    return x


def attention(
    softmax: Change = lambda x: x.softmax(-1),
    keys: Change = same,
    values: Change = same,
    seen: Callable[[torch.Tensor], torch.Tensor] | None = None,
    context: Change = same,
    tiled: str = "",
    only: str = "",
) -> Mistake:
    """Replace the attention function.

    softmax: of the scores. keys, values: changed before their use. seen: differences of positions, query less key -> true where
    a query sees a key. context: (batch, tokens, heads, width) -> changed. tiled: "key" or "value" for heads in turn, not in
    groups. only: "text" or "vision" leaves the other tower as it is.
    """

    def function(
        module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, scaling: float, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        groups = getattr(module, "num_key_value_groups", 1)
        k, v = keys(k), values(v)
        k = k.repeat(1, groups, 1, 1) if tiled == "key" else k.repeat_interleave(groups, 1)
        v = v.repeat(1, groups, 1, 1) if tiled == "value" else v.repeat_interleave(groups, 1)
        scores = q @ k.mT * scaling
        if seen is not None:
            distance = torch.arange(k.shape[2] - q.shape[2], k.shape[2])[:, None] - torch.arange(k.shape[2])
            scores = scores.masked_fill(~seen(distance), torch.finfo(scores.dtype).min)
        elif mask is not None:
            scores = scores + mask
        weights = softmax(scores)
        return context((weights @ v).transpose(1, 2)).contiguous(), weights

    def mistake(bench: Workbench) -> None:
        for file, tower in ((modeling_ovis2, "vision"), (modeling_qwen2, "text")):
            if only in ("", tower):
                bench.patch(file, "eager_attention_forward", function)

    return mistake


def scale(change: Callable[[Any], float]) -> Mistake:
    """Give the scores another scale: change(attention module)."""

    def mistake(bench: Workbench) -> None:
        for module in bench.attentions:
            setattr(module, "scale" if hasattr(module, "scale") else "scaling", change(module))

    return mistake


def in_bfloat16(scores: torch.Tensor) -> torch.Tensor:
    """softmax with scores, exponentials and weights rounded to bfloat16."""
    low = scores.clamp(min=-1e30).bfloat16().float()
    e = torch.exp(low - low.amax(-1, keepdim=True)).bfloat16().float()
    return (e / e.sum(-1, keepdim=True)).bfloat16().float()


def with_one(scores: torch.Tensor) -> torch.Tensor:
    """softmax with 1 added to the sum of the exponentials."""
    return torch.exp(scores - torch.logaddexp(scores.logsumexp(-1, keepdim=True), torch.zeros(())))


def late(x: torch.Tensor) -> torch.Tensor:
    """Return the cache as a step sees it that writes over the last place: the place after it is still 0."""
    first_pass = x.shape[2] == late_from[0]
    return x if first_pass else torch.cat([x[:, :, :-2], x[:, :, -1:], torch.zeros_like(x[:, :, -1:])], 2)


late_from = [0]


def cache(**changes: Change) -> Mistake:
    """Change keys or values in the steps after the prompt."""

    def mistake(bench: Workbench) -> None:
        kept = bench.inputs

        def counted(inputs: Any) -> Any:
            late_from[0] = inputs["input_ids"].shape[1]
            return kept(inputs)

        bench.inputs = counted
        attention(**changes, only="text")(bench)

    return mistake


def turned(change: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> Mistake:
    """Rotate q and k another way: change(heads, cos, sin)."""
    return lambda bench: bench.patch(
        modeling_qwen2,
        "apply_rotary_pos_emb",
        lambda q, k, cos, sin, **_: tuple(change(x, cos[:, None], sin[:, None]) for x in (q, k)),
    )


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    return x * cos + modeling_qwen2.rotate_half(x) * sin


def interleaved(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate neighbouring numbers."""
    half = x.shape[-1] // 2
    a, b, c, s = x[..., ::2], x[..., 1::2], cos[..., :half], sin[..., :half]
    return torch.stack([a * c - b * s, b * c + a * s], -1).flatten(-2)


def positions(change: Change) -> Mistake:
    """Make the rotary tables of other positions."""

    def mistake(bench: Workbench) -> None:
        module = bench.language.rotary_emb
        forward = module.forward
        module.forward = lambda x, position_ids: forward(x, change(position_ids))

    return mistake


def frequencies(change: Callable[[torch.Tensor, int, int], torch.Tensor], base: float | None = None) -> Mistake:
    """Make the rotary tables of other frequencies: base^-change(i, head width, hidden width)."""

    def mistake(bench: Workbench) -> None:
        config = bench.language.config
        width = bench.text_layers[0].self_attn.head_dim
        exponents = change(torch.arange(width // 2, dtype=torch.float64), width, config.hidden_size)
        bench.language.rotary_emb.inv_freq = ((base or config.rope_parameters["rope_theta"]) ** -exponents).float()

    return mistake


def usual(i: torch.Tensor, width: int, hidden: int) -> torch.Tensor:
    return 2 * i / width


def heads_apart(x: torch.Tensor) -> torch.Tensor:
    """Return the heads' numbers interleaved: (tokens, heads, width) read as (tokens, width, heads)."""
    return x.mT.reshape(x.shape)


ATTENTION: dict[str, Mistake] = {
    "scores: scale missing": scale(lambda module: 1.0),
    "scores: scale of the hidden width": scale(lambda module: module.config.hidden_size**-0.5),
    "scores: divided by head_dim, not its root": scale(lambda module: 1 / module.head_dim),
    "softmax: in bfloat16": attention(in_bfloat16),
    "softmax: over queries, not keys": attention(lambda x: x.clamp(min=-1e30).softmax(-2)),
    "softmax: missing": attention(lambda x: x.clamp(min=0)),
    "softmax: a power of 2, not of e": attention(lambda x: (x * torch.log(torch.tensor(2.0))).softmax(-1)),
    "softmax: 1 added to the sum": attention(with_one),
    "context: heads interleaved": attention(context=heads_apart),
    "context: heads not put back beside each other": attention(context=lambda x: x.transpose(1, 2).reshape(x.shape)),
    "visual mask: causal": attention(seen=lambda distance: distance >= 0, only="vision"),
    "mask: missing": attention(seen=lambda distance: distance > -9999, only="text"),
    "mask: one token of the future seen": attention(seen=lambda distance: distance >= -1, only="text"),
    "mask: the token itself not seen": attention(seen=lambda distance: distance >= 1, only="text"),
    "key heads in turn, not in groups": attention(tiled="key", only="text"),
    "value heads in turn, not in groups": attention(tiled="value", only="text"),
    "cache: a step's key in the place of the last one": cache(keys=late),
    "cache: a step's value in the place of the last one": cache(values=late),
    "rotary: interleaved pairs": turned(interleaved),
    "rotary: turned the other way": turned(lambda x, cos, sin: rotate(x, cos, -sin)),
    "rotary: missing": turned(lambda x, cos, sin: x),
    "rotary: cos and sin swapped": turned(lambda x, cos, sin: rotate(x, sin, cos)),
    "rotary: tables in bfloat16": turned(lambda x, cos, sin: rotate(x, cos.bfloat16().float(), sin.bfloat16().float())),
    "rotary: positions from 1": positions(lambda places: places + 1),
    "rotary: all positions 0": positions(torch.zeros_like),
    "rotary: positions halved": positions(lambda places: places / 2),
    "rotary: a step's position one too low": positions(lambda places: places - int(places.shape[1] == 1)),
    "rotary: a step's position one too high": positions(lambda places: places + int(places.shape[1] == 1)),
    "rotary: base 1,000,000": frequencies(usual, 1e6),
    "rotary: base 500,000": frequencies(usual, 5e5),
    "rotary: exponent i, not 2 i": frequencies(lambda i, width, hidden: i / width),
    "rotary: frequencies of the hidden width": frequencies(lambda i, width, hidden: 2 * i / hidden),
    "rotary: frequencies from i = 1": frequencies(lambda i, width, hidden: 2 * (i + 1) / width),
}
"""The name of a known mistake -> what makes it in transformers."""
