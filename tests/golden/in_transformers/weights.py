"""Mistakes in the weights of transformers' model: exchanged, transposed, left out, quantised."""

from collections.abc import Callable

import torch

from tests.golden.in_transformers.workbench import Change, Mistake, Workbench


def weight(change: Change, *words: str) -> Mistake:
    """Change the weight of the linear layers whose names end in one of the words."""

    def mistake(bench: Workbench) -> None:
        for module in bench.products(*words):
            module.weight.copy_(change(module.weight.clone()))

    return mistake


def of(select: Callable[[Workbench], torch.Tensor], change: Change) -> Mistake:
    """Change one weight or bias in place."""

    def mistake(bench: Workbench) -> None:
        array = select(bench)
        array.copy_(change(array.clone()))

    return mistake


def exchanged(*pairs: tuple[str, str]) -> Mistake:
    """Exchange the weights, and biases, of two modules of the same shapes in each layer."""

    def mistake(bench: Workbench) -> None:
        for layer in bench.layers:
            parts = dict(layer.named_modules())
            for first, second in pairs:
                one = next((parts[name] for name in parts if name.endswith(first)), None)
                other = next((parts[name] for name in parts if name.endswith(second)), None)
                if one is None or other is None or one.weight.shape != other.weight.shape:
                    continue
                for (_, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
                    kept = a.clone()
                    a.copy_(b)
                    b.copy_(kept)

    return mistake


def of_the_layer_before(bench: Workbench) -> None:
    """Give each layer's linear parts the weights of the layer before."""
    for layers in (bench.vision_layers, bench.text_layers):
        kept = [{name: array.clone() for name, array in layer.state_dict().items()} for layer in layers]
        for layer, before in zip(layers[1:], kept[:-1], strict=True):
            for name, array in layer.state_dict().items():
                if "norm" not in name:
                    array.copy_(before[name])


def without_bias(bench: Workbench) -> None:
    """Leave out the biases of q, k and v."""
    for module in bench.products("q_proj", "k_proj", "v_proj"):
        if module.bias is not None:
            module.bias.zero_()


def in_pairs(bench: Workbench) -> None:
    """Put the rows of q and k into the order that llama.cpp's conversion gives Llama's."""
    for layer in bench.text_layers:
        for module in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            for array in (module.weight, module.bias):
                heads = array.reshape(-1, 2, layer.self_attn.head_dim // 2, *array.shape[1:])
                array.copy_(heads.transpose(1, 2).reshape(array.shape))


def blocks(matrix: torch.Tensor, scale: Callable[[torch.Tensor], torch.Tensor], whole: Callable) -> torch.Tensor:
    """Return a matrix in blocks of 32 numbers: scale(block) in float16 times whole(block / scale)."""
    rows = matrix.reshape(-1, 32)
    factor = scale(rows)
    return (whole(rows / factor) * factor.half().float()).reshape(matrix.shape)


def q8(matrix: torch.Tensor) -> torch.Tensor:
    """Return ggml's Q8_0."""
    return blocks(
        matrix, lambda rows: rows.abs().amax(1, keepdim=True) / 127, lambda x: x.sign() * (x.abs() + 0.5).floor()
    )


def q4(matrix: torch.Tensor) -> torch.Tensor:
    """Return ggml's Q4_0."""

    def scale(rows: torch.Tensor) -> torch.Tensor:
        return rows.gather(1, rows.abs().argmax(1, keepdim=True)) / -8

    return blocks(matrix, scale, lambda x: (x + 8.5).floor().clamp(0, 15) - 8)


def by_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Return 8 bits, a scale for each row."""
    scale = matrix.abs().amax(1, keepdim=True) / 127
    return (matrix / scale).round() * scale


def square(matrix: torch.Tensor) -> torch.Tensor:
    """Return the transpose of a square matrix; others as they are."""
    return matrix.T if matrix.shape[0] == matrix.shape[1] else matrix


def kernel(bench: Workbench) -> torch.Tensor:
    """Return the kernel of the patch embedding (hidden, channels, rows, columns)."""
    return bench.vit.embeddings.patch_embedding.weight


def places(bench: Workbench) -> torch.Tensor:
    """Return the table of position embeddings."""
    return bench.vit.embeddings.position_embedding.weight


def on_a_grid(table: torch.Tensor) -> torch.Tensor:
    """Return the position embeddings with rows and columns swapped."""
    side = round(len(table) ** 0.5)
    return table.reshape(side, side, -1).transpose(0, 1).reshape(table.shape)


def norms(change: Change) -> Mistake:
    """Change the weight of every RMSNorm."""

    def mistake(bench: Workbench) -> None:
        for norm in bench.norms:
            norm.weight.copy_(change(norm.weight.clone()))

    return mistake


WEIGHTS: dict[str, Mistake] = {
    "weights: transposed": weight(square),
    "weights: in 8 bits (Q8_0)": weight(q8),
    "weights: in 4 bits (Q4_0)": weight(q4),
    "weights: in 8 bits, a scale for each row": weight(by_rows),
    "weights: in float8": weight(lambda matrix: matrix.to(torch.float8_e4m3fn).float()),
    "weights: rounded to bfloat16": weight(lambda matrix: matrix.bfloat16().float()),
    "weights: rounded to float16": weight(lambda matrix: matrix.half().float()),
    "weights: q's and k's exchanged": exchanged(("q_proj", "k_proj")),
    "weights: k's and v's exchanged": exchanged(("k_proj", "v_proj")),
    "weights: gate's and up's exchanged": exchanged(("gate_proj", "up_proj")),
    "weights: of the layer before": of_the_layer_before,
    "weights: rows of q and k in the order of neighbouring pairs": in_pairs,
    "bias of q, k or v missing": without_bias,
    "norm: weight missing": norms(torch.ones_like),
    "norm: 1 + weight": norms(lambda vector: 1 + vector),
    "norm: weight of the layer's other norm": exchanged(
        ("rms_norm1", "rms_norm2"), ("input_layernorm", "post_attention_layernorm")
    ),
    "patch: kernel read as (rows, columns, channels)": of(
        kernel, lambda k: k.reshape(k.shape[0], *k.shape[2:], k.shape[1]).permute(0, 3, 1, 2)
    ),
    "patch: rows and columns swapped": of(kernel, lambda k: k.mT),
    "patch: bias missing": of(lambda bench: bench.vit.embeddings.patch_embedding.bias, torch.zeros_like),
    "positions: shifted by one": of(places, lambda table: table.roll(-1, 0)),
    "positions: grid transposed": of(places, on_a_grid),
    "positions: not added": of(places, torch.zeros_like),
    "visual head: rows after the indicators'": of(
        lambda bench: bench.vision.head_linear.weight, lambda w: w.roll(5, 0)
    ),
    "visual head: LayerNorm without bias": of(lambda bench: bench.vision.head_norm.bias, torch.zeros_like),
    "visual head: LayerNorm without weight": of(lambda bench: bench.vision.head_norm.weight, torch.ones_like),
    "visual table: indicators' rows first": of(
        lambda bench: bench.model.model.visual_embeddings_table.weight, lambda table: table.roll(-5, 0)
    ),
}
"""The name of a known mistake -> what makes it in transformers."""
