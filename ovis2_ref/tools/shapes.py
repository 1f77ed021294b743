"""Write the sheet of all shapes, recorded from the tiny model and one of Ovis2-1B's sizes: `python -m ovis2_ref.tools.shapes`.

It writes Markdown to stdout. `SHAPES` says each value's shape in letters, and a recording that doesn't fit them is an error.
"""

import re
from dataclasses import replace

import numpy as np

from ovis2_ref.checkpoint.random_weights import DrawnWeights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import OvisError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.taps import listening
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, picture_layout
from ovis2_ref.tiny import TINY

GRID, TEXT_TOKENS = (1, 2), 40
"""The picture of the sheet, cut into 1 row of 2 tiles, and the number of text tokens around it."""

LETTERS = {
    "n": "tiles, the thumbnail counted",
    "S": "pixels on a side of a tile",
    "P": "patches of a tile",
    "D": "numbers for a patch",
    "h": "heads of the ViT",
    "e": "numbers of one of its heads",
    "I": "numbers inside the ViT's SwiGLU",
    "A": "visual tokens of a tile, P / s^2 with s the stride",
    "M": "numbers for a merged square of patches, s^2 D",
    "V": "words of the visual vocabulary, without the indicators",
    "t": "tokens of the prompt",
    "H": "numbers for a token",
    "q": "query heads",
    "k": "key and value heads",
    "d": "numbers of one of these heads",
    "c": "pairs of a head, d / 2",
    "J": "numbers inside the language model's SwiGLU",
    "W": "tokens of the text vocabulary",
}

SHAPES = {
    "pixel_values": ("n 3 S S", "tiles: resized, cut, normalised"),
    "embeddings.patch_embedding.output": ("n P D", "W patch + b"),
    "embeddings.output": ("n P D", "normed, and positions added"),
    "encoder.layers.*.rms_norm1.output": ("n P D", "weight x / sqrt(mean(x^2) + eps)"),
    "encoder.layers.*.attention.q_proj.output": ("n P D", "queries; keys and values alike"),
    "encoder.layers.*.attention.scores": ("n h P P", "q k^T / sqrt(e)"),
    "encoder.layers.*.attention.weights": ("n h P P", "softmax of each row"),
    "encoder.layers.*.attention.context": ("n P D", "weights v, heads joined"),
    "encoder.layers.*.after_attention": ("n P D", "x + W_out context"),
    "encoder.layers.*.ffn.activated": ("n P I", "silu(W_gate x) * W_up x"),
    "encoder.layers.*.output": ("n P D", "x + W_down activated"),
    "vision_tower.merged": ("n A M", "s x s neighbours side by side"),
    "vision_tower.tokens": ("n A V", "softmax(LayerNorm(W merged)): the visual tokens"),
    "visual_embeddings_table.output": ("n A H", "sum_w token_w table_w"),
    "input_ids": ("1 t", "the prompt: text, atoms, indicators"),
    "language_model.inputs_embeds": ("1 t H", "rows of the text table; atoms and indicators replaced"),
    "rotary_emb.cos": ("1 t c", "cos of position times frequency; sin alike"),
    "layers.*.input_layernorm.output": ("1 t H", "RMSNorm"),
    "self_attn.q_proj.output": ("1 t q*d", "queries"),
    "self_attn.k_proj.output": ("1 t k*d", "keys; values alike"),
    "self_attn.q_rotated": ("1 q t d", "queries, turned by their positions"),
    "self_attn.k_rotated": ("1 k t d", "keys, turned: these and the values go into the cache"),
    "self_attn.scores": ("1 q t t", "q k^T / sqrt(d) + mask"),
    "self_attn.weights": ("1 q t t", "softmax of each row"),
    "self_attn.context": ("1 t q*d", "weights v, heads joined"),
    "layers.*.mlp.activated": ("1 t J", "silu(W_gate x) * W_up x"),
    "language_model.layers.*.output": ("1 t H", "x + W_down activated"),
    "language_model.norm.output": ("1 t H", "hidden states"),
    "lm_head.output": ("1 1 W", "logits, here of the last token alone"),
}
"""The end of a tap's name, with * for a layer -> its shape in `LETTERS`, and the formula."""


def recorded_shapes(config: Ovis2Config) -> dict[str, tuple[int, ...]]:
    """Run a model of `config` with drawn weights on drawn tiles, and return the shape of every value in its order.

    Layers are alike, so one of each kind is run.
    """
    vision, text = replace(config.vision_config, num_hidden_layers=1), config.text_config
    text = replace(text, num_hidden_layers=1, layer_types=text.layer_types[:1])
    short = replace(config, vision_config=vision, text_config=text)
    ids = dict(zip(INDICATORS, config.visual_indicator_token_ids, strict=True)) | {IMAGE_ATOM: config.image_token_id}
    picture = [
        ids[token]
        for token in picture_layout(GRID)
        for _ in range(vision.tokens_per_tile if token == IMAGE_ATOM else 1)
    ]
    prompt = np.array([[*range(TEXT_TOKENS // 2), *picture, *range(TEXT_TOKENS // 2)]])
    tiles = picture_layout(GRID).count(IMAGE_ATOM)
    side = vision.image_size
    pixels = np.random.default_rng(0).standard_normal((tiles, vision.num_channels, side, side)).astype(np.float32)
    shapes = {"pixel_values": pixels.shape, "input_ids": prompt.shape}
    model = Ovis2ForConditionalGeneration(short, DrawnWeights(short, seed=0))

    def keep(name: str, array: Array) -> None:
        shapes[name] = array.shape

    with listening(keep):
        model(input_ids=prompt, pixel_values=pixels, logits_to_keep=1)
    return shapes


def sizes_of(config: Ovis2Config, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the number behind each of `LETTERS`."""
    vision, text = config.vision_config, config.text_config
    return {
        "n": shapes["pixel_values"][0],
        "S": vision.image_size,
        "P": vision.patches_per_side**2,
        "D": vision.hidden_size,
        "h": vision.num_attention_heads,
        "e": vision.head_dim,
        "I": vision.intermediate_size,
        "A": vision.tokens_per_tile,
        "M": vision.hidden_size * vision.hidden_stride**2,
        "V": vision.vocab_size - vision.num_visual_indicator_tokens,
        "t": shapes["input_ids"][1],
        "H": config.hidden_size,
        "q": text.num_attention_heads,
        "k": text.num_key_value_heads,
        "d": text.head_dim,
        "c": text.head_dim // 2,
        "J": text.intermediate_size,
        "W": text.vocab_size,
    }


def checked_shape(ending: str, recorded: dict[str, tuple[int, ...]], sizes: dict[str, int]) -> tuple[int, ...]:
    """Return the shape of the recorded value whose name has this ending.

    Raises `OvisError` if there is none, or if it isn't the one that its letters say.
    """
    pattern = re.compile(r"(^|\.)" + re.escape(ending).replace(r"\*", r"\d+") + "$")
    shape = next((shape for name, shape in recorded.items() if pattern.search(name)), None)
    letters = SHAPES[ending][0]
    expected = tuple(_number(word, sizes) for word in letters.split())
    if shape != expected:
        raise OvisError(f"{ending} was recorded with the shape {shape}; {letters} says {expected}")
    return expected


def sheet() -> str:
    """Return the sheet as Markdown. Raises `OvisError` if a recorded shape isn't the one that its letters say."""
    configs = {"tiny": Ovis2Config.from_pretrained(TINY), "Ovis2-1B": Ovis2Config.preset("Ovis2-1B")}
    recorded = {name: recorded_shapes(config) for name, config in configs.items()}
    sizes = {name: sizes_of(config, recorded[name]) for name, config in configs.items()}
    names = list(configs)
    lines = [
        "# All shapes on a page",
        "",
        f"A picture cut into {GRID[0]} row of {GRID[1]} tiles, and {TEXT_TOKENS} tokens of text: the values of one forward pass",
        "in their order, as recorded from the tiny model and from a model of the sizes of Ovis2-1B (drawn weights).",
        "Names are the endings of the taps' names; * is a layer. Made by `python -m ovis2_ref.tools.shapes`.",
        "",
        "| value | formula | shape | " + " | ".join(names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for ending, (letters, formula) in SHAPES.items():
        cells = [" x ".join(map(str, checked_shape(ending, recorded[name], sizes[name]))) for name in names]
        shown = letters.replace(" ", ", ").replace("*", " ")
        lines.append(f"| `{ending}` | {formula} | ({shown}) | {' | '.join(cells)} |")
    lines += ["", "| letter | | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for letter, meaning in LETTERS.items():
        lines.append(f"| {letter} | {meaning} | " + " | ".join(str(sizes[name][letter]) for name in names) + " |")
    layers = [(c.vision_config.num_hidden_layers, c.text_config.num_hidden_layers) for c in configs.values()]
    lines.append(
        "| | layers of the ViT and of the language model | " + " | ".join(f"{v} and {t}" for v, t in layers) + " |"
    )
    return "\n".join(lines)


def _number(word: str, sizes: dict[str, int]) -> int:
    """Return the number of one axis: a number, a letter, or a product of letters."""
    if word.isdigit():
        return int(word)
    return int(np.prod([sizes[letter] for letter in word.split("*")]))


if __name__ == "__main__":
    print(sheet())
