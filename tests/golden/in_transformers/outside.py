"""Mistakes outside the catalogue, made in transformers: none may pass, and "unknown" has to say what differs.

    python -m tests.golden.in_transformers.outside

prints what compare says of each. They were written before the words of `golden/differences.py`.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers.models.qwen2 import modeling_qwen2

from ovis2_ref.golden.compare import Comparison
from tests.golden.in_transformers.attention import attention, rotate
from tests.golden.in_transformers.image import picture, pixels
from tests.golden.in_transformers.modules import bench_hook, visual, words
from tests.golden.in_transformers.workbench import Bench, Change, Mistake, Workbench


class Outside(NamedTuple):
    """A mistake that the catalogue doesn't have."""

    make: Mistake
    says: str
    """A pattern that the description of the first wrong value has to hold: a factor, or an axis; "" if nothing is asked."""


def module(path: str, change: Change) -> Mistake:
    """Change the output of the module at this path, counted from the model."""
    return lambda bench: bench_hook(bench.model.get_submodule(path), change)


def part(start: int | None, end: int | None, axis: int, change: Change) -> Change:
    """Change some of the slices along an axis."""

    def changed(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        place = [slice(None)] * x.ndim
        place[axis] = slice(start, end)
        y[tuple(place)] = change(y[tuple(place)])
        return y

    return changed


def scattered(x: torch.Tensor) -> torch.Tensor:
    """Return x with a tenth of its numbers 0, and the others larger by as much, as dropout does."""
    kept = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) > 0.1
    return x * kept / 0.9


def one(value: float) -> Change:
    """Put one number in the middle of x."""

    def changed(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y.view(-1)[x.numel() // 2] = value
        return y

    return changed


def weight(path: str, change: Change) -> Mistake:
    """Change a weight or a bias."""
    return lambda bench: bench.model.get_parameter(path).copy_(change(bench.model.get_parameter(path).clone()))


def rotation(change: Callable[..., Any]) -> Mistake:
    """Rotate q and k by change(q, k, cos, sin)."""
    return lambda bench: bench.patch(
        modeling_qwen2,
        "apply_rotary_pos_emb",
        lambda q, k, cos, sin, **_: change(q, k, cos[:, None], sin[:, None]),
    )


def half_rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the first half of a head's numbers alone."""
    n = x.shape[-1] // 2
    quarter = n // 2
    tables = [torch.cat([t[..., :quarter]] * 2, -1) for t in (cos, sin)]
    return torch.cat([rotate(x[..., :n], *tables), x[..., n:]], -1)


def skipped(select: Callable[[Workbench], Any]) -> Mistake:
    """Leave out a layer."""
    return lambda bench: select(bench).register_forward_hook(
        lambda _, arguments, options, result: arguments[0] if arguments else options["hidden_states"], with_kwargs=True
    )


def zero(x: torch.Tensor) -> torch.Tensor:
    return 0 * x


def head_temperature(softmax: torch.Tensor) -> torch.Tensor:
    """Return the softmax with another temperature in the first head."""
    return torch.cat([(1.3 * softmax[:, :1]).softmax(-1), softmax[:, 1:].softmax(-1)], 1)


VIT, TEXT = "model.vision_tower.transformer", "model.language_model"
V1, T1 = f"{VIT}.encoder.layers.1", f"{TEXT}.layers.1"
OUTSIDE: dict[str, Outside] = {
    "q of a vision layer times 0.9": Outside(module(f"{V1}.attention.q_proj", lambda x: 0.9 * x), "factor"),
    "v of a text layer times 1.01": Outside(module(f"{T1}.self_attn.v_proj", lambda x: 1.01 * x), "factor"),
    "o_proj of the other sign": Outside(module(f"{T1}.self_attn.o_proj", lambda x: -x), "factor"),
    "down_proj doubled": Outside(module(f"{V1}.ffn.down_proj", lambda x: 2 * x), "factor"),
    "logits halved": Outside(module("lm_head", lambda x: x / 2), "factor"),
    "embeddings times 1.1": Outside(module(f"{TEXT}.embed_tokens", lambda x: 1.1 * x), "factor"),
    "visual tokens sum to 0.99": Outside(words(lambda x: 0.99 * x.softmax(-1)), "factor"),
    "patch embedding times 255 / 256": Outside(
        module(f"{VIT}.embeddings.patch_embedding", lambda x: x * 255 / 256), "factor"
    ),
    "a norm times 1.001": Outside(module(f"{T1}.input_layernorm", lambda x: 1.001 * x), "factor"),
    "a norm times 0.998": Outside(module(f"{V1}.rms_norm1", lambda x: 0.998 * x), "factor"),
    "LayerScale of 0.1 on attention": Outside(module(f"{V1}.attention.out_proj", lambda x: 0.1 * x), "factor"),
    "visual head times 1.05": Outside(module("model.vision_tower.head_linear", lambda x: 1.05 * x), "factor"),
    "logits plus 1": Outside(module("lm_head", lambda x: x + 1), "offset"),
    "q plus 0.01": Outside(module(f"{V1}.attention.q_proj", lambda x: x + 0.01), "offset"),
    "up plus 0.1": Outside(module(f"{T1}.mlp.up_proj", lambda x: x + 0.1), "offset"),
    "pixel values plus 0.05": Outside(pixels(lambda x: x + 0.05), "offset"),
    "k's second head 0": Outside(module(f"{T1}.self_attn.k_proj", part(32, None, -1, zero)), "hidden|head"),
    "v's last head is the first": Outside(
        module(f"{V1}.attention.v_proj", lambda x: torch.cat([x[..., :-32], x[..., :32]], -1)), "hidden|head"
    ),
    "a vision head is left out": Outside(
        attention(context=lambda x: part(0, 1, 2, zero)(x), only="vision"), "hidden|head"
    ),
    "the last token of a layer 0": Outside(module(T1, part(-1, None, 1, zero)), "token"),
    "tokens from 64 on a place too late": Outside(module(T1, part(64, None, 1, lambda x: x.roll(1, 1))), "token"),
    "the first token's embedding 0": Outside(module(f"{TEXT}.embed_tokens", part(0, 1, 1, zero)), "token"),
    "every second token without feed-forward": Outside(
        module(f"{T1}.mlp.down_proj", lambda x: x * (torch.arange(x.shape[1]) % 2)[:, None]), "token"
    ),
    "a tile is black": Outside(pixels(part(1, 2, 0, zero)), "tile"),
    "the last tile is the thumbnail": Outside(pixels(lambda x: torch.cat([x[:-1], x[:1]])), "tile"),
    "a tile darker by half": Outside(pixels(part(2, 3, 0, lambda x: x / 2)), "tile"),
    "patches in reverse order": Outside(
        module(f"{VIT}.embeddings.patch_embedding", lambda x: x.flatten(2).flip(2).reshape(x.shape)), "patch"
    ),
    "patches a place too late": Outside(
        module(f"{VIT}.embeddings.patch_embedding", lambda x: x.flatten(2).roll(1, 2).reshape(x.shape)), "patch"
    ),
    "the last row of patches 0": Outside(
        module(f"{VIT}.embeddings.patch_embedding", lambda x: part(7, None, 2, zero)(x)), "patch"
    ),
    "positions of the second half missing": Outside(
        weight(f"{VIT}.embeddings.position_embedding.weight", part(32, None, 0, zero)), "patch"
    ),
    "q's numbers in reverse order": Outside(module(f"{V1}.attention.q_proj", lambda x: x.flip(-1)), "hidden"),
    "gate's last 8 numbers 0": Outside(module(f"{T1}.mlp.gate_proj", part(-8, None, -1, zero)), "hidden"),
    "visual head's last word 0": Outside(module("model.vision_tower.head_linear", part(-1, None, -1, zero)), "word"),
    "visual head's norm shifted by one word": Outside(
        module("model.vision_tower.head_norm", lambda x: x.roll(1, -1)), "word"
    ),
    "visual tokens in reverse order": Outside(visual(lambda m, x: x.flip(1)), "token"),
    "visual embeddings of a tile 0": Outside(visual(lambda m, x: part(2, 3, 0, zero)(x)), "token|tile"),
    "visual embeddings of length 1": Outside(visual(lambda m, x: functional.normalize(x, dim=-1)), "token"),
    "feed-forward clamped at 1": Outside(module(f"{V1}.ffn.up_proj", lambda x: x.clamp(-1, 1)), "cut off|clipped"),
    "logits clamped at 5": Outside(module("lm_head", lambda x: x.clamp(-5, 5)), "cut off|clipped"),
    "one number is not a number": Outside(module(f"{V1}.ffn.down_proj", one(float("nan"))), "finite"),
    "one logit is infinite": Outside(module("lm_head", part(0, 1, -1, lambda x: x + float("inf"))), "finite"),
    "one number is 9": Outside(module(f"{T1}.mlp.down_proj", one(9.0)), "token"),
    "activations in steps of 1/16": Outside(module(f"{T1}.mlp.down_proj", lambda x: (16 * x).round() / 16), "step"),
    "half of a head rotated": Outside(
        rotation(lambda q, k, cos, sin: (half_rotated(q, cos, sin), half_rotated(k, cos, sin))), ""
    ),
    "k rotated three times as far": Outside(
        rotation(lambda q, k, cos, sin: (rotate(q, cos, sin), rotate(rotate(rotate(k, cos, sin), cos, sin), cos, sin))),
        "token",
    ),
    "a window of 16 tokens": Outside(attention(seen=lambda d: (d >= 0) & (d < 16), only="text"), "token|quer"),
    "the first token not seen from the third on": Outside(
        attention(
            seen=lambda d: (d >= 0) & ((d < 3) | (d.cumsum(0) == d.cumsum(0)) & (torch.arange(d.shape[1]) > 0)),
            only="text",
        ),
        "token|quer|key",
    ),
    "bias of q twice": Outside(weight(f"{T1}.self_attn.q_proj.bias", lambda b: 2 * b), "offset"),
    "bias of k of the other sign": Outside(weight(f"{T1}.self_attn.k_proj.bias", lambda b: -b), "offset"),
    "a norm's weight squared": Outside(weight(f"{T1}.input_layernorm.weight", lambda w: w * w), "factor"),
    "a norm's weight with noise": Outside(
        weight(f"{V1}.rms_norm2.weight", lambda w: w * torch.linspace(0.9, 1.1, len(w))), "factor"
    ),
    "the residual halved": Outside(
        lambda bench: bench.text_layers[1].register_forward_pre_hook(
            lambda _, arguments: (arguments[0] / 2, *arguments[1:])
        ),
        "",
    ),
    "dropout in a feed-forward": Outside(module(f"{V1}.ffn.down_proj", scattered), "factor|scattered"),
    "logits shifted by one word": Outside(module("lm_head", lambda x: x.roll(1, -1)), "word"),
    "picture mirrored": Outside(pixels(lambda x: x.flip(-1)), "column"),
    "green is 0": Outside(pixels(part(1, 2, 1, zero)), "channel"),
    "gamma of 2.2": Outside(picture(lambda x: ((x / 255.0) ** 2.2 * 255).astype("uint8")), ""),
    "noise of 1 in 1,000": Outside(
        module(
            f"{V1}.ffn.up_proj",
            lambda x: x * (1 + 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))),
        ),
        "",
    ),
    "heads of v in reverse order": Outside(
        module(f"{V1}.attention.v_proj", lambda x: x.reshape(*x.shape[:-1], -1, 32).flip(-2).reshape(x.shape)),
        "hidden|head",
    ),
    "another temperature in the first head": Outside(attention(softmax=head_temperature, only="vision"), "head"),
    "k's two heads exchanged": Outside(
        module(f"{T1}.self_attn.k_proj", lambda x: x.reshape(*x.shape[:-1], 2, -1).flip(-2).reshape(x.shape)),
        "hidden|head",
    ),
    "a vision layer is left out": Outside(skipped(lambda bench: bench.vision_layers[2]), "equal"),
    "a text layer is left out": Outside(skipped(lambda bench: bench.text_layers[2]), "equal"),
    "v is k": Outside(
        lambda bench: setattr(
            bench.text_layers[1].self_attn.v_proj, "forward", bench.text_layers[1].self_attn.k_proj.forward
        ),
        "",
    ),
}


def described(comparison: Comparison) -> str:
    """Return what compare says of the first wrong value; "" if the run passes."""
    wrong = comparison.of("wrong")
    if not wrong:
        return ""
    names = " and ".join(cause.cause.name for cause in wrong[0].causes)
    return f"{wrong[0].tap}: {names or 'unknown'}: {wrong[0].note}"


def main(patterns: list[str]) -> int:
    """Print the table; return 1 if a mistake passes."""
    passed, right = [], 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name, outside in OUTSIDE.items():
            if patterns and not any(pattern in name for pattern in patterns):
                continue
            says = described(bench.compared(outside.make))
            good = bool(outside.says) and re.search(outside.says, says.partition(": ")[2]) is not None
            right += good
            passed += [] if says else [name]
            print(f"{'ok  ' if good else '    '} {name}: {says or 'PASSES'}", flush=True)
    print(f"{len(OUTSIDE)} mistakes outside the catalogue: {len(passed)} pass, {right} described by axis or factor")
    return int(bool(passed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
