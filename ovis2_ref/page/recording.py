"""What a page carries of a run that was made elsewhere: by a larger model, or by whoever wrote a golden file.

A `Keeper` takes the values of a run in execution order, from the taps or from a file, and keeps what the page shows:
the likeliest words of each visual token, attention in bytes, the likeliest tokens after each layer.
"""

import io
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, TEXT, VISION
from ovis2_ref.errors import InputError
from ovis2_ref.golden.record import Run
from ovis2_ref.golden.stages import Reference, split_number
from ovis2_ref.image.tiling import MAX_TILES, split_regions
from ovis2_ref.ops import linear, rms_norm, softmax
from ovis2_ref.page.live import configuration, deflated, parameters
from ovis2_ref.page.sizes import image_options, model_data, sizes
from ovis2_ref.runtime.arrays import to_host
from ovis2_ref.runtime.taps import listening
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, ORIGINAL_IDS

MOST_TOKENS = 64
"""Tokens of a recorded answer at most."""
KEPT = 10
"""Likeliest words of a visual token, and tokens after a layer, that are kept."""
MOST_ATTENTION = 5_500_000
"""Bytes of attention, compressed, at most: 7.4 MB in base64."""
ALL_ATTENTION = 12_000_000
"""Weights of attention, of all tokens on all tokens in all heads, up to which all are tried."""
ORIGINAL_NAMES = {number: name for name, number in ORIGINAL_IDS.items()}
LONGEST_EDGE = 1024
"""Pixels along an edge of a picture as it is shown."""


AXES = {
    "image.picture": 3, "image.grid": 1, "image.tiles": 4, f"{VISION}.tokens": 3, "input_ids": 2, "generated": 2,
    f"{TEXT}.inputs_embeds": 3, "layers.self_attn.weights": 4, "layers.output": 3,
}  # fmt: skip
"""The axes of each value that something is kept of; those of a layer without the layer's number."""


class Keeper:
    """Takes the values of a run, and keeps what a page shows of them."""

    def __init__(self, layers: int) -> None:
        """Expect a language model of so many layers."""
        self.layers = layers
        self.pictures: list[np.ndarray] = []
        self.grids: list[tuple[int, int]] = []
        self.levels: dict[int, np.ndarray] = {}
        self.ids: list[int] = []
        self.generated: list[int] = []
        self.words: dict[str, Any] | None = None
        self.attention: dict[tuple[int, int], np.ndarray] = {}
        """(pass, layer) -> bytes (heads, kept tokens of the pass, keys)."""
        self.states: dict[tuple[int, int], np.ndarray] = {}
        """(pass, layer) -> the last token's hidden state; layer 0: its embedding."""

    def wanted(self) -> list[str]:
        """Return the names of the values that are kept something of."""
        return [
            *("image.picture", "image.grid", "image.tiles", f"{VISION}.tokens", f"{TEXT}.inputs_embeds"),
            *(f"{TEXT}.layers.{layer}.{value}" for layer in range(self.layers) for value in ("self_attn.weights", "output")),
            "generated",
        ]  # fmt: skip

    def take(self, name: str, array: np.ndarray) -> None:
        """Keep what is needed of a value. Raises `InputError` for one that no run makes there."""
        tap, number = split_number(name)
        kind = "layers." + tap.split(".", 4)[-1] if tap.startswith(f"{TEXT}.layers.") else tap
        axes = AXES.get(kind)
        if axes is None:
            return
        if array.ndim != axes or 0 in array.shape or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise InputError(
                f"{name} has the shape {array.shape}; here {axes} axes of finite numbers are expected: record it again"
            )
        if tap == "image.picture":
            self.pictures.append(array)
        elif tap == "image.grid":
            self.grids.append((int(array[0]), int(array[1])))
        elif tap == "image.tiles":
            self.levels[number - 1] = array
        elif tap == "input_ids" and number == 1:
            self.ids = array[0].tolist()
        elif tap == "generated":
            self.generated = array[0].tolist()
        elif tap == f"{VISION}.tokens":
            self.words = likeliest_words(array)
        elif tap == f"{TEXT}.inputs_embeds":
            self.states[number, 0] = array[:1, -1:]
        elif tap.startswith(f"{TEXT}.layers."):
            layer = int(tap.removeprefix(f"{TEXT}.layers.").split(".")[0])
            if tap.endswith("self_attn.weights"):
                every = array[0].size * self.layers <= ALL_ATTENTION
                self.attention[number, layer] = as_bytes(array[0] if every else array[0, :, -1:])
            elif tap == f"{TEXT}.layers.{layer}.output":
                self.states[number, layer + 1] = array[:1, -1:]


def as_bytes(weights: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return 255 sqrt(weight), rounded: 1.5e-5 and more can be told from 0; the error is at most 0.4 % of the largest weight."""
    return np.rint(255 * np.sqrt(weights.astype(np.float32))).astype(np.uint8)


def likeliest_words(tokens: Float[np.ndarray, "tiles atoms words"]) -> dict[str, Any]:
    """Return the `KEPT` likeliest words of each visual token with their chances, and its entropy in bits."""
    rows = tokens.reshape(-1, tokens.shape[-1])
    words = largest(rows)
    chances = np.take_along_axis(rows, words, axis=-1)
    entropy = np.array([-np.sum(row[row > 0] * np.log2(row[row > 0])) for row in rows.astype(np.float64)])
    return {
        "count": tokens.shape[-1],
        "atoms": len(rows),
        "kept": words.shape[1],
        "words": deflated(words.astype("<u4").tobytes()),
        "chances": deflated(chances.astype("<f4").tobytes()),
        "entropy": deflated(entropy.astype("<f4").tobytes()),
    }


def largest(rows: Float[np.ndarray, "rows n"]) -> np.ndarray:
    """Return the columns of the `KEPT` largest numbers of each row, the largest first."""
    count = min(KEPT, rows.shape[-1])
    found = np.sort(np.argpartition(-rows, count - 1, axis=-1)[:, :count], axis=-1)
    order = np.argsort(-np.take_along_axis(rows, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1)


def record_run(
    images: Sequence[Any], prompt: str, checkpoint: Any, model: Any, processor: Any, reason: str
) -> dict[str, Any]:
    """Return the data of a page that shows how `model` answers `prompt` about `images`; `reason` says why it isn't live."""
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    keeper = Keeper(model.config.text_config.num_hidden_layers)
    run = Run(keeper.take, keeper.wanted())
    with listening(run, run.wants):
        inputs = processor(images=list(images) or None, text=text)
        run.mask = inputs["attention_mask"]
        model.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False, num_beams=1, streamer=run)
    left_out = [f"The model itself, so nothing can be changed: {reason}."]
    reference = Reference(model.parts, model.config, model.convention, processor=processor)
    about = model_data(checkpoint, parameters(model.config), "recorded in " + model.compute_dtype.name, "")
    return page_data(keeper, reference, prompt, about, left_out)


def page_data(
    keeper: Keeper, reference: Reference, prompt: str, about: dict[str, Any], left_out: list[str]
) -> dict[str, Any]:
    """Return the data of the page for what `keeper` has kept; `left_out` grows by what it hasn't."""
    tokenizer = reference.processor.tokenizer
    attention = packed_attention(keeper, left_out)
    steps = [lens(keeper, step, reference) for step in range(len(keeper.generated))]
    ids = [*keeper.ids, *keeper.generated]
    shown = {number for step in steps for layer in step["layers"] for number, _ in layer["top"]}
    texts = {number: ORIGINAL_NAMES.get(number) or tokenizer.decode([number]) for number in {*ids, *shown}}
    if keeper.words is None:
        left_out.append("Visual tokens: they were not recorded.")
    elif keeper.words["count"] > KEPT:
        left_out.append(f"All but the {KEPT} likeliest words of each visual token.")
    left_out.append("The visual embeddings and the hidden states.")
    return {
        "model": about,
        "live": None,
        "config": configuration(reference.config, {}) | placeholders(reference),
        "sizes": sizes(reference.config),
        "image": image_options(reference.processor.image_processor),
        "question": prompt,
        "questions": [],
        "pictures": [],
        "samples": [],
        "scenes": None,
        "scene": None,
        "meanings": [],
        "left_out": left_out,
        "port": None,
        "recording": {
            "pictures": [shown_picture(picture, grid) for picture, grid in zip(keeper.pictures, keeper.grids, strict=True)],
            "tiles": shown_tiles(keeper, reference.convention.crop_before_resize),
            "ids": ids,
            "prompt_length": len(keeper.ids),
            "texts": [texts[number] for number in ids],
            "vocabulary": {number: texts[number] for number in shown},
            "words": keeper.words,
            "attention": attention,
            "steps": steps,
        },
    }  # fmt: skip


def check_run(keeper: Keeper, reference: Reference) -> None:
    """Raise `InputError` unless the values that were kept are of one run of the reference."""
    config, ids = reference.config, placeholders(reference)
    text = config.text_config
    atoms = keeper.ids.count(ids.get("image_token_id", config.image_token_id))
    tiles = [1 if rows * columns == 1 else rows * columns + 1 for rows, columns in keeper.grids]
    prompt, heads = len(keeper.ids), text.num_attention_heads
    fits = {
        "image.picture, image.grid or input_ids": prompt > 0 and len(keeper.pictures) == len(tiles) > 0,
        "image.picture": all(p.dtype == np.uint8 and len(p) == 3 for p in keeper.pictures),
        "image.grid": all(min(grid) > 0 and 2 <= n + 1 <= MAX_TILES for grid, n in zip(keeper.grids, tiles, strict=True)),
        "input_ids": atoms == sum(tiles) * config.vision_config.tokens_per_tile,
        "image.tiles": all(
            number < len(tiles) and levels.dtype == np.uint8 and levels.shape[:2] == (tiles[number], 3)
            for number, levels in keeper.levels.items()
        ),
        "tokens": keeper.words is None or keeper.words["atoms"] == atoms,
        "self_attn.weights": all(
            a.shape[0] == heads and a.shape[2] == prompt + number - 1 and a.shape[1] in ((1, prompt) if number == 1 else (1,))
            for (number, _), a in keeper.attention.items()
        ),
        "output": all(state.shape[2] == text.hidden_size for state in keeper.states.values()),
        "generated": all(0 <= token < text.vocab_size for token in keeper.generated),
    }  # fmt: skip
    for name, fit in fits.items():
        if not fit:
            raise InputError(
                f"{name} is missing, or doesn't fit the rest of the run or the checkpoint: record all of it, for instance with "
                "`ovis2-ref golden record`"
            )


def placeholders(reference: Reference) -> dict[str, Any]:
    """Return the ids that stand for visual tokens and indicators in a prompt."""
    if reference.convention.placeholders_in_vocabulary:
        return {}
    return {
        "image_token_id": ORIGINAL_IDS[IMAGE_ATOM],
        "visual_indicator_token_ids": [ORIGINAL_IDS[name] for name in INDICATORS],
    }


def packed_attention(keeper: Keeper, left_out: list[str]) -> dict[str, Any] | None:
    """Return the attention of the kept tokens, (tokens, layers, heads, keys) in bytes, those of the answer first to be kept."""
    passes = max((number for number, _ in keeper.attention), default=0)
    if len(keeper.attention) < passes * keeper.layers or passes == 0:
        left_out.append("Attention: it was not recorded.")
        return None
    heads, first, _ = keeper.attention[1, 0].shape
    prompt = len(keeper.ids)
    keys = prompt + passes - 1
    rows: dict[int, np.ndarray] = {}
    for number in range(1, passes + 1):
        parts = np.stack(
            [keeper.attention[number, layer] for layer in range(keeper.layers)]
        )  # layers, heads, tokens, keys
        end = prompt if number == 1 else prompt + number - 1
        for i in range(parts.shape[2]):
            row = np.zeros((keeper.layers, heads, keys), np.uint8)
            row[..., : parts.shape[3]] = parts[:, :, i]
            rows[end - parts.shape[2] + i] = row
    order = sorted(rows, key=lambda position: (position < prompt - 1, position))
    sizes_so_far = np.cumsum([len(zlib.compress(rows[position].tobytes(), 6)) for position in order])
    kept = sorted(order[: max(1, int(np.searchsorted(sizes_so_far, MOST_ATTENTION)))])
    answer = sum(position >= prompt - 1 for position in kept)
    if (first == 1 and prompt > 1) or len(kept) < len(order):
        left_out.append(
            f"Attention of the prompt's tokens, all but the last one; it is kept for {answer} of {passes} steps of the answer."
        )
    left_out.append("The exact weights of attention: they are kept in 8 bits.")
    data = np.stack([rows[position] for position in kept]).tobytes()
    return {"layers": keeper.layers, "heads": heads, "tokens": keys, "rows": kept, "bytes": deflated(data)}


def lens(keeper: Keeper, step: int, reference: Reference) -> dict[str, Any]:
    """Return a step of the answer: the likeliest tokens after each layer that was recorded, through the final norm and head."""
    chosen, layers = keeper.generated[step], []
    head = Weights({"lm_head.weight": reference.weights[HEAD if HEAD in reference.weights else EMBEDDINGS]}) / "lm_head"
    for layer in range(keeper.layers + 1):
        state = keeper.states.get((step + 1, layer))
        if state is None:
            continue
        normed = rms_norm(
            state, reference.weights / "model" / "language_model" / "norm", reference.config.text_config.rms_norm_eps
        )
        chances = to_host(softmax(linear(normed, head).astype(np.float64)))[0, -1]
        top = [[int(number), float(chances[number])] for number in largest(chances[None])[0]]
        layers.append({"layer": layer, "final": layer == keeper.layers, "top": top, "chosen": float(chances[chosen])})
    return {"position": len(keeper.ids) + step, "id": chosen, "layers": layers}


def shown_picture(picture: np.ndarray, grid: tuple[int, int]) -> dict[str, Any]:
    """Return a picture (3, height, width) as the page shows it."""
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    image.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    return {"height": picture.shape[1], "width": picture.shape[2], "grid": list(grid), "image": address(image)}


def tile_regions(size: tuple[int, int], grid: tuple[int, int], crops: bool) -> list[np.ndarray]:
    """Return (left, upper, right, lower) of each tile in a picture of `size` (height, width), the thumbnail first.

    A tile is a fraction of the stretched picture, or, with `crops`, a crop in the middle of its square (the authors).
    """
    (height, width), (rows, columns) = size, grid
    if crops:
        regions = [np.array(region, float) for region in split_regions(height, width, grid)]
    else:
        cells = split_regions(rows, columns, grid)
        regions = [np.array(cell) * (width / columns, height / rows, width / columns, height / rows) for cell in cells]
    if len(regions) > 1:
        regions.insert(0, np.array([0.0, 0.0, width, height]))
    return [_square(region) for region in regions] if crops else regions


def _square(region: np.ndarray) -> np.ndarray:
    """Return the square around the middle of a region whose side is its longer edge."""
    middle, edges = (region[:2] + region[2:]) / 2, region[2:] - region[:2]
    return np.concatenate([middle - edges.max() / 2, middle + edges.max() / 2])


def shown_tiles(keeper: Keeper, crops: bool) -> list[dict[str, Any]]:
    """Return each tile: its picture, the part of it that it shows, and its levels as an image."""
    tiles = []
    for number, (picture, grid) in enumerate(zip(keeper.pictures, keeper.grids, strict=True)):
        whole, levels = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))), keeper.levels.get(number)
        for i, region in enumerate(tile_regions((whole.height, whole.width), grid, crops)):
            left, upper, right, lower = region.tolist()
            image = whole.crop((round(left), round(upper), round(right), round(lower)))
            if levels is not None:
                image = Image.fromarray(np.ascontiguousarray(levels[i].transpose(1, 2, 0)))
            image.thumbnail((512, 512))
            part = {"left": left, "upper": upper, "right": right, "lower": lower}
            tiles.append({"picture": number, "region": part, "thumbnail": i == 0, "image": address(image)})
    return tiles


def address(image: Image.Image) -> str:
    """Return an image as a data address: a PNG, or a JPEG where that is much smaller."""
    files = {}
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88})):
        file = io.BytesIO()
        image.save(file, kind, **options)
        files[kind] = file.getvalue()
    kind = "png" if len(files["png"]) < max(20_000, 2 * len(files["jpeg"])) else "jpeg"
    return f"data:image/{kind};base64,{b64encode(files[kind]).decode()}"
