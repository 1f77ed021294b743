"""Draw the way of a picture through the tiny Ovis2 as one figure, from the values of a real run: `pictures/architecture.png`.

    python walkthroughs/figure.py

Needs matplotlib (the extra `walkthroughs`).
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image
from show import ask, load

from ovis2_ref import recording
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tiny.training.pictures import WORDS

INK, BLUE, ORANGE, GREEN, GREY = "#1f2933", "#0072b2", "#d55e00", "#009e73", "#c9d1d9"
PROMPT = "Describe the image."


def as_picture(tile: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixel values (3, S, S) -> (S, S, 3), from 0 to 1."""
    return ((tile - low) / (high - low)).transpose(1, 2, 0)


def panel(
    figure: plt.Figure, place: tuple[float, float, float, float], title: str, shape: str, formula: str
) -> plt.Axes:
    """Add an empty panel with a title above it, and the shape and the formula below it."""
    axes = figure.add_axes(place)
    axes.set(xticks=[], yticks=[])
    axes.axis("off")
    x, y, width, height = place
    figure.text(x + width / 2, y + height + 0.052, title, ha="center", fontsize=15, weight="bold", color=INK)
    figure.text(x + width / 2, y + height + 0.018, shape, ha="center", fontsize=12, color=BLUE, family="monospace")
    figure.text(x + width / 2, y - 0.022, formula, ha="center", va="top", fontsize=12, color=INK, linespacing=1.4)
    return axes


def arrow(figure: plt.Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two places of the figure."""
    style = {"arrowstyle": "-|>", "color": INK, "lw": 2, "mutation_scale": 18}
    plt.annotate("", xy=end, xytext=start, xycoords="figure fraction", textcoords="figure fraction", arrowprops=style)


def kind_of(token: int, config: object) -> tuple[str, str]:
    """Return the colour of a token, and its name in the legend."""
    if token == config.image_token_id:
        return ORANGE, "visual embedding (<IMG_ATOM>)"
    if token in config.visual_indicator_token_ids:
        return GREEN, "indicator (<IMG_START>, <IMG_COL>, ...)"
    return GREY, "text"


def draw_prompt(axes: plt.Axes, ids: np.ndarray, config: object) -> None:
    """Draw every token of the prompt as a square, in reading order."""
    columns = 26
    for i, token in enumerate(ids):
        colour = kind_of(int(token), config)[0]
        axes.add_patch(Rectangle((i % columns, -(i // columns)), 0.86, 0.86, color=colour))
    rows = -(-len(ids) // columns)
    axes.set(xlim=(-0.2, columns), ylim=(-rows + 0.8, 1.1))
    legend = dict.fromkeys(kind_of(int(token), config) for token in ids)
    handles = [Rectangle((0, 0), 1, 1, color=colour, label=name) for colour, name in legend]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), fontsize=11, frameon=False, ncols=1)


def box(axes: plt.Axes, lines: list[str]) -> None:
    """Draw a stack of boxes, the first at the bottom."""
    for i, line in enumerate(lines):
        axes.add_patch(FancyBboxPatch((0.06, i + 0.1), 0.88, 0.74, boxstyle="round,pad=0.02", fc="#eef4f8", ec=BLUE))
        axes.text(0.5, i + 0.47, line, ha="center", va="center", fontsize=12, color=INK)
    axes.set(xlim=(0, 1), ylim=(0, len(lines)))


def main() -> None:
    """Run the model once, and draw what it made on the way."""
    model, processor = load()
    config, vision, text = model.config, model.config.vision_config, model.config.text_config
    picture = np.asarray(Image.open(SAMPLE).convert("RGB"))
    inputs = ask(processor, Image.fromarray(picture), PROMPT)
    with recording() as values:
        model(**inputs)
    answer = processor.decode(
        model.generate(**inputs, max_new_tokens=40)[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    rows, columns = processor.image_processor(Image.fromarray(picture), return_tensors="np")["grids"][0].tolist()
    tiles, tokens = inputs["pixel_values"], values["model.vision_tower.tokens"]
    low, high = float(tiles.min()), float(tiles.max())
    n, _, side, _ = tiles.shape
    patches = (side // vision.patch_size) ** 2
    figure = plt.figure(figsize=(16, 10.4), dpi=100, facecolor="white")

    axes = panel(
        figure,
        (0.03, 0.60, 0.15, 0.27),
        "picture",
        f"{picture.shape}",
        f"resized, then cut by a grid\nof {rows} rows and {columns} columns",
    )
    axes.imshow(picture, interpolation="nearest")
    height, width, _ = picture.shape
    for i in range(rows + 1):
        axes.plot([-0.5, width - 0.5], [i * height / rows - 0.5] * 2, color="white", lw=1.5)
    for i in range(columns + 1):
        axes.plot([i * width / columns - 0.5] * 2, [-0.5, height - 0.5], color="white", lw=1.5)

    axes = panel(
        figure,
        (0.235, 0.60, 0.25, 0.27),
        "tiles",
        f"{tiles.shape}",
        "the thumbnail, then the cells of the grid;\n(x / 255 - mean) / std",
    )
    canvas = np.ones((rows * (side + 6), (columns + 1) * (side + 6), 3))
    for i in range(n):
        row, column = (0, 0) if i == 0 else ((i - 1) // columns, (i - 1) % columns + 1)
        y, x = row * (side + 6), column * (side + 6)
        canvas[y : y + side, x : x + side] = as_picture(tiles[i], low, high)
    axes.imshow(canvas, interpolation="nearest")

    axes = panel(
        figure,
        (0.54, 0.60, 0.16, 0.27),
        "vision transformer",
        f"({n}, {patches}, {vision.hidden_size})",
        "x + attention(norm(x)), x + ffn(norm(x))",
    )
    box(axes, ["patches", *(f"block {i}" for i in range(vision.num_hidden_layers)), "2 x 2 patches side by side"])

    entropy = -(tokens[0] * np.log(np.maximum(tokens[0], 1e-30))).sum(axis=-1)
    cell = int(entropy.argmax())  # where the model hesitates, so that the distribution shows
    axes = panel(figure, (0.745, 0.60, 0.10, 0.27), "visual tokens", f"{tokens.shape}", "")
    axes.imshow(as_picture(tiles[0], low, high), interpolation="nearest", extent=(0, 4, 4, 0))
    for i in range(5):
        axes.plot([i, i], [0, 4], color="white", lw=0.8)
        axes.plot([0, 4], [i, i], color="white", lw=0.8)
    axes.add_patch(Rectangle((cell % 4, cell // 4), 1, 1, fill=False, ec=ORANGE, lw=3))
    bars = figure.add_axes((0.858, 0.64, 0.127, 0.19))
    best = tokens[0, cell].argsort()[::-1][:5]
    bars.barh(range(len(best)), tokens[0, cell, best], color="#f2c9a8")
    for i, word in enumerate(best):
        bars.text(
            0.02,
            i,
            f"{tokens[0, cell, word]:.2f} {WORDS[word].removesuffix(', part')}",
            va="center",
            fontsize=10,
            color=INK,
        )
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xticks=[], yticks=[])
    bars.spines[["top", "right", "bottom"]].set_visible(False)
    figure.text(
        0.868,
        0.578,
        "softmax over a visual vocabulary:\na distribution for each cell",
        ha="center",
        va="top",
        fontsize=12,
        color=INK,
        linespacing=1.4,
    )

    hidden = values["model.language_model.inputs_embeds"].shape
    axes = panel(figure, (0.70, 0.21, 0.27, 0.19), "merged prompt", f"{hidden}", "")
    draw_prompt(axes, inputs["input_ids"][0], config)
    figure.text(
        0.858,
        0.49,
        "embedding: sum over words of probability x table row",
        ha="right",
        fontsize=12,
        color=INK,
        style="italic",
    )

    axes = panel(
        figure,
        (0.42, 0.13, 0.19, 0.27),
        "language model (Qwen2)",
        f"({hidden[0]}, {hidden[1]}, {text.vocab_size})",
        "rotary, grouped-query, causal attention;\nKV cache; SwiGLU",
    )
    box(axes, ["embeddings", *(f"layer {i}" for i in range(text.num_hidden_layers)), "logits of the next token"])

    axes = panel(
        figure,
        (0.04, 0.13, 0.29, 0.27),
        "answer",
        "one token after the other",
        "the likeliest token is appended\nand read, until the end token",
    )
    words = answer.split(" ")
    half = -(-len(words) // 2)
    axes.text(
        0.5,
        0.5,
        f"“{PROMPT}”\n\n" + " ".join(words[:half]) + "\n" + " ".join(words[half:]),
        ha="center",
        va="center",
        fontsize=16,
        color=INK,
        linespacing=1.6,
    )

    arrow(figure, (0.183, 0.735), (0.232, 0.735))
    arrow(figure, (0.488, 0.735), (0.537, 0.735))
    arrow(figure, (0.703, 0.735), (0.742, 0.735))
    arrow(figure, (0.868, 0.53), (0.868, 0.475))
    arrow(figure, (0.692, 0.28), (0.618, 0.28))
    arrow(figure, (0.412, 0.28), (0.338, 0.28))
    figure.text(
        0.03,
        0.965,
        "Ovis2, as the tiny checkpoint computes it: every panel shows values of one run",
        fontsize=17,
        color=INK,
    )
    figure.savefig(Path(__file__).parent / "pictures" / "architecture.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
