"""Mistakes in the modules of transformers' model: norms, residuals, feed-forwards, the visual head, embeddings, logits."""

from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch.nn import functional

from tests.golden.in_transformers.workbench import Change, Mistake, Workbench


def norm(forward: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]) -> Mistake:
    """Compute every RMSNorm another way: forward(x, weight, epsilon)."""

    def mistake(bench: Workbench) -> None:
        for module in bench.norms:
            module.forward = lambda x, module=module: forward(x, module.weight, module.variance_epsilon)

    return mistake


def epsilon(change: Callable[[float], float]) -> Mistake:
    """Give every RMSNorm another epsilon."""

    def mistake(bench: Workbench) -> None:
        for module in bench.norms:
            module.variance_epsilon = change(module.variance_epsilon)

    return mistake


def swiglu(forward: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]) -> Mistake:
    """Compute what down_proj takes another way: forward(activation, gate, up)."""

    def mistake(bench: Workbench) -> None:
        for module in bench.feed_forwards:
            module.forward = lambda x, m=module: m.down_proj(forward(m.act_fn, m.gate_proj(x), m.up_proj(x)))

    return mistake


def layer(
    first: Callable[..., torch.Tensor] | None = None, second: Callable[..., torch.Tensor] | None = None
) -> Mistake:
    """Compute the sums of a layer another way: first(x, norm(x), attention), second(x, feed-forward)."""
    first, second = first or (lambda x, y, a: x + a), second or (lambda x, f: x + f)

    def vision(self: Any, x: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        y = self.rms_norm1(x)
        x = first(x, y, self.attention(hidden_states=y)[0])
        return second(x, self.ffn(self.rms_norm2(x)))

    def text(self: Any, x: torch.Tensor, **options: Any) -> torch.Tensor:
        y = self.input_layernorm(x)
        x = first(x, y, self.self_attn(hidden_states=y, **options)[0])
        return second(x, self.mlp(self.post_attention_layernorm(x)))

    def mistake(bench: Workbench) -> None:
        for layers, forward in ((bench.vision_layers, vision), (bench.text_layers, text)):
            for module in layers:
                module.forward = MethodType(forward, module)

    return mistake


def output(select: Callable[[Workbench], torch.nn.Module], change: Change) -> Mistake:
    """Change the output of a module."""
    return lambda bench: bench_hook(select(bench), change)


def bench_hook(module: torch.nn.Module, change: Change) -> None:
    """Change the output of a module by a forward hook."""
    module.register_forward_hook(lambda _, arguments, result: change(result))


def merged(order: tuple[int, ...]) -> Mistake:
    """Put the numbers of a square (row, column, hidden) into another order, before the visual head."""

    def change(x: torch.Tensor, stride: int) -> torch.Tensor:
        squares = x.reshape(*x.shape[:2], stride, stride, -1)
        return squares.permute(0, 1, *(axis + 2 for axis in order)).reshape(x.shape)

    return lambda bench: bench.vision.head_linear.register_forward_pre_hook(
        lambda _, arguments: (change(arguments[0], bench.vision.config.hidden_stride),)
    )


def merged_in_a_row(bench: Workbench) -> None:
    """Merge patches that follow each other, in place of a square."""
    features: list[torch.Tensor] = []
    bench.vit.rms_norm.register_forward_hook(lambda _, arguments, result: features.append(result))
    bench.vision.head_linear.register_forward_pre_hook(lambda _, arguments: (features[-1].reshape(arguments[0].shape),))


def words(change: Change) -> Mistake:
    """Make the visual tokens of the normed scores another way."""

    def mistake(bench: Workbench) -> None:
        scores: list[torch.Tensor] = []
        bench.vision.head_norm.register_forward_hook(lambda _, arguments, result: scores.append(result))

        def tokens(_: Any, arguments: Any, result: Any) -> Any:
            result.pooler_output = change(scores[-1])
            return result

        bench.vision.register_forward_hook(tokens)

    return mistake


def visual(change: Callable[[Any, torch.Tensor], torch.Tensor]) -> Mistake:
    """Change the visual embeddings before they are merged into the text: change(model, embeddings)."""

    def mistake(bench: Workbench) -> None:
        model = bench.model.model
        features = model.get_image_features

        @wraps(features)
        def changed(*arguments: Any, **options: Any) -> Any:
            result = features(*arguments, **options)
            result.pooler_output = change(model, result.pooler_output)
            return result

        bench.patch(model, "get_image_features", changed)

    return mistake


def indicators(change: Callable[[Any, torch.Tensor], torch.Tensor]) -> Mistake:
    """Change the embeddings of the indicators: change(model, rows)."""

    def mistake(bench: Workbench) -> None:
        model = bench.model.model
        model.visual_embeddings_table.register_forward_hook(
            lambda _, arguments, result: result if arguments[0].is_floating_point() else change(model, result)
        )

    return mistake


def atom(model: Any, like: torch.Tensor) -> torch.Tensor:
    """Return the text embedding of an atom in the place of every visual one."""
    return model.get_input_embeddings().weight[model.config.image_token_id].expand_as(like)


def by_columns(_: Any, x: torch.Tensor) -> torch.Tensor:
    """Return each tile's tokens counted down the columns."""
    side = round(x.shape[1] ** 0.5)
    return x.reshape(len(x), side, side, -1).transpose(1, 2).reshape(x.shape)


def patches_by_columns(x: torch.Tensor) -> torch.Tensor:
    return x.mT


def positions_before_norm(bench: Workbench) -> None:
    """norm(patches + positions)."""
    module = bench.vit.embeddings

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        return module.rms_norm(module.patch_embedding(pixels).flatten(2).mT + module.position_embedding.weight)

    module.forward = forward


def centred(x: torch.Tensor) -> torch.Tensor:
    """Return each row less its mean."""
    return x - x.mean(-1, keepdim=True)


def rms(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the root mean square of each row."""
    return torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def replaced(select: Callable[[Workbench], Any], forward: Callable[[Any, torch.Tensor], torch.Tensor]) -> Mistake:
    """Compute a module another way: forward(module, x)."""
    return lambda bench: setattr(select(bench), "forward", MethodType(forward, select(bench)))


def head_norm(bench: Workbench) -> Any:
    return bench.vision.head_norm


def head(bench: Workbench) -> Any:
    return bench.model.lm_head


MODULES: dict[str, Mistake] = {
    "no norm after the vision transformer": replaced(lambda bench: bench.vit.rms_norm, lambda self, x: x),
    "norm: epsilon 10 times as large": epsilon(lambda eps: 10 * eps),
    "norm: epsilon a tenth": epsilon(lambda eps: eps / 10),
    "norm: no epsilon": epsilon(lambda eps: 0.0),
    "norm: epsilon outside the root": norm(lambda x, w, eps: x / (rms(x, 0.0) + eps) * w),
    "norm: LayerNorm for RMSNorm": norm(lambda x, w, eps: functional.layer_norm(x, x.shape[-1:], w, None, eps)),
    "norm: sum for mean of squares": norm(lambda x, w, eps: x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps) * w),
    "norm: missing": norm(lambda x, w, eps: x),
    "residual: attention's input not added": layer(first=lambda x, y, a: a),
    "residual: attention not added": layer(first=lambda x, y, a: x),
    "residual: taken after the norm": layer(first=lambda x, y, a: y + a),
    "residual: feed-forward's input not added": layer(second=lambda x, f: f),
    "residual: feed-forward not added": layer(second=lambda x, f: x),
    "SwiGLU: gate and up swapped": swiglu(lambda act, gate, up: gate * act(up)),
    "SwiGLU: activation missing": swiglu(lambda act, gate, up: gate * up),
    "SwiGLU: up missing": swiglu(lambda act, gate, up: act(gate)),
    "SwiGLU: activation after the product": swiglu(lambda act, gate, up: act(gate * up)),
    "SwiGLU: GELU": swiglu(lambda act, gate, up: functional.gelu(gate) * up),
    "SwiGLU: GELU, tanh": swiglu(lambda act, gate, up: functional.gelu(gate, approximate="tanh") * up),
    "SwiGLU: quick GELU": swiglu(lambda act, gate, up: gate * torch.sigmoid(1.702 * gate) * up),
    "SwiGLU: ReLU": swiglu(lambda act, gate, up: functional.relu(gate) * up),
    "patch: patches counted down the columns": output(
        lambda bench: bench.vit.embeddings.patch_embedding, patches_by_columns
    ),
    "positions: added before the norm": positions_before_norm,
    "merge: columns before rows inside a square": merged((1, 0, 2)),
    "merge: hidden before patches inside a square": merged((2, 0, 1)),
    "merge: patches in a row, not in squares": merged_in_a_row,
    "visual head: RMSNorm for LayerNorm": replaced(
        head_norm, lambda self, x: x / rms(x, self.eps) * self.weight + self.bias
    ),
    "visual head: norm missing": replaced(head_norm, lambda self, x: x),
    "visual head: epsilon 1e-6": lambda bench: setattr(bench.vision.head_norm, "eps", 1e-6),
    "visual tokens: argmax for softmax": lambda bench: setattr(bench.vision.config, "tokenize_function", "st_argmax"),
    "visual tokens: softmax missing": words(lambda x: x),
    "visual tokens: softmax over tokens, not words": words(lambda x: x.softmax(1)),
    "visual tokens: temperature 2": words(lambda x: (x / 2).softmax(-1)),
    "visual tokens: sigmoid for softmax": words(torch.sigmoid),
    "visual tokens: columns of zeros in the softmax": words(lambda x: functional.pad(x, (0, 5)).softmax(-1)[..., :-5]),
    "visual tokens: shifted by one place": visual(lambda m, x: x.flatten(0, 1).roll(1, 0).reshape(x.shape)),
    "visual tokens: a tile's tokens column by column": visual(by_columns),
    "visual tokens: tiles in reverse order": visual(lambda m, x: x.flip(0)),
    "visual tokens: left out": visual(atom),
    "visual tokens: added to the atoms' embeddings": visual(lambda m, x: x + atom(m, x)),
    "indicators: rows of the text table": indicators(
        lambda m, rows: m.get_input_embeddings().weight[m.visual_indicator_token_ids]
    ),
    "indicators: in reverse order": indicators(lambda m, rows: rows.flip(0)),
    "embeddings: times the root of the width": output(
        lambda bench: bench.language.embed_tokens, lambda x: x * x.shape[-1] ** 0.5
    ),
    "logits: times the root of the width": lambda bench: bench_hook(
        bench.model.lm_head, lambda x: x * bench.model.config.hidden_size**0.5
    ),
    "logits: soft cap of 30": output(head, lambda x: 30 * torch.tanh(x / 30)),
    "logits: tied head forgotten, all 0": output(head, torch.zeros_like),
    "logits: log-probabilities": output(head, lambda x: x.log_softmax(-1)),
}
"""The name of a known mistake -> what makes it in transformers."""
