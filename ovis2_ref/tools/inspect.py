"""`ovis2-ref inspect`: describe a checkpoint, or a released size without files."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ovis2_ref.checkpoint.loading import find_faults, raise_faults, read_config, read_generation_config
from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.checkpoint.weight_files import has_weights, is_packed, open_weights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.config.presets import RELEASED, released_name
from ovis2_ref.convention import ORIGINAL, TRANSFORMERS, Convention
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.reading import checked_folder, read_json
from ovis2_ref.image.cutting import canvas_grid
from ovis2_ref.image.limits import check_pixels
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.text.chat import render_chat
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, picture_layout
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tools.costs import cache_bytes_per_token, operations, parameters

REQUEST = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]


def inspect_text(source: str | Path, picture_size: tuple[int, int] | None = None) -> str:
    """Return a description of the checkpoint folder `source`, or of the released size of that name, and the costs of a picture
    of `picture_size` (height, width). Only headers of weights are read.

    Raises the errors of loading for a folder that couldn't be loaded.
    """
    name = None if Path(source).is_dir() else released_name(str(source))
    if name is not None:
        config = Ovis2Config.preset(name)
        settings = {"eos_token_id": config.text_config.eos_token_id, "pad_token_id": config.text_config.pad_token_id}
        images = Ovis2ImageProcessor(crop_to_patches=True, size={"height": 448, "width": 448})
        prompt = render_chat(REQUEST, add_generation_prompt=True)
        lines = [f"{name}, a released size (no files are read)"]
    else:
        if not Path(source).exists():
            sizes = ", ".join(RELEASED)
            raise CheckpointError(
                f"there is no checkpoint folder {str(source)!r}, nor a released size of that name: {sizes}"
            )
        root = checked_folder(source)
        convention = ORIGINAL if read_json(root, "config.json").get("model_type") == "ovis" else TRANSFORMERS
        config, settings = read_config(root, convention), read_generation_config(root)
        processor = Ovis2Processor.from_pretrained(root, convention)
        images, prompt = processor.image_processor, processor.apply_chat_template(REQUEST, add_generation_prompt=True)
        lines = [f"{root}, {_stored(root, config)}"]
    lines += _in_words(config, images.convention)
    lines += ["", *_table_of_parts(config), "", *_special_tokens(config, settings), "", *_chat(prompt)]
    if picture_size is not None:
        check_pixels(picture_size[1], picture_size[0], "the picture")
        lines += ["", *_picture(config, images, *picture_size)]
    return "\n".join(lines)


def _stored(root: Path, config: Ovis2Config) -> str:
    """Return the stored types of the weights, after checking that the weights fit the configuration."""
    if not has_weights(root):
        return "a configuration without safetensors weights"
    tensors = open_weights(root)
    raise_faults(root, find_faults(tensors, expected_shapes(config)))
    packed = [tensor for tensor in tensors.values() if is_packed(tensor)]
    kinds = sorted({tensor.kind for tensor in tensors.values() if not is_packed(tensor)})
    files = len({id(tensor.source) for tensor in tensors.values()})
    text = f"{len(tensors)} weights in {files} file{'s' * (files > 1)}, stored as {' and '.join(kinds)}"
    for kind, count in Counter(tensor.kind for tensor in packed).items():
        size = _size(sum(tensor.bytes for tensor in packed if tensor.kind == kind))
        text += f", {count} in {kind} ({size})"
    return "\n".join([text, *tensors.notes])


def _in_words(config: Ovis2Config, convention: Convention) -> list[str]:
    vision, text = config.vision_config, config.text_config
    side, tile = vision.patches_per_side, vision.image_size
    head = "output head tied to the text table" if config.tie_word_embeddings else "separate output head"
    window = f"a window of {text.sliding_window} tokens" if text.sliding_window else "full attention"
    layout = "the authors'" if convention is ORIGINAL else "transformers'"
    return [
        f'layout: {layout}, made for convention "{convention.name}"',
        f"vision: AIMv2, {vision.num_hidden_layers} blocks {vision.hidden_size} wide, {vision.num_attention_heads} heads of "
        f"{vision.head_dim}, gated feed-forward of {vision.intermediate_size} ({vision.hidden_act})",
        f"  a tile of {tile} x {tile} px -> {side} x {side} patches of {vision.patch_size} px -> merged "
        f"{vision.hidden_stride} x {vision.hidden_stride} -> {vision.tokens_per_tile} visual tokens",
        f"  a visual token: {vision.tokenize_function} over {vision.vocab_size - vision.num_visual_indicator_tokens} visual "
        f"words; {vision.num_visual_indicator_tokens} more rows of the table are indicators",
        f"language: Qwen2, {text.num_hidden_layers} blocks {text.hidden_size} wide, {text.num_attention_heads} query heads of "
        f"{text.head_dim} on {text.num_key_value_heads} key-value heads, gated feed-forward of {text.intermediate_size} "
        f"({text.hidden_act})",
        f"  {text.vocab_size} tokens, {head}; "
        f"up to {text.max_position_embeddings} positions, rope base {text.rope_parameters['rope_theta']:g}, {window}",
    ]


def _table_of_parts(config: Ovis2Config) -> list[str]:
    counts = parameters(config)
    total = sum(counts.values())
    rows = [("part", "parameters", "float32", "bfloat16, float16", "share")]
    for part, count in [*counts.items(), ("total", total)]:
        rows.append((part, f"{count:,}", _size(4 * count), _size(2 * count), f"{100 * count / total:.1f} %"))
    return _aligned(rows)


def _special_tokens(config: Ovis2Config, settings: Mapping[str, object]) -> list[str]:
    ids = {IMAGE_ATOM: config.image_token_id, **dict(zip(INDICATORS, config.visual_indicator_token_ids, strict=False))}
    others = {name: settings.get(f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return [
        "special tokens: " + ", ".join(f"{name} {token_id}" for name, token_id in ids.items()),
        "  " + ", ".join(f"{name} {'none' if token_id is None else token_id}" for name, token_id in others.items()),
    ]


def _chat(prompt: str) -> list[str]:
    """Return the lines about the chat template, which is Ovis2's own but for its system message; `prompt` is what it renders."""
    return ["chat template: Ovis2's own; a request becomes", *(f"  | {line}" for line in prompt.splitlines())]


def _picture(config: Ovis2Config, images: Ovis2ImageProcessor, height: int, width: int) -> list[str]:
    """Return tiles, tokens and costs of one picture with the request above, without the tokens of its words and the template."""
    cut = images.crop_to_patches and images.max_patches > 1
    grid = canvas_grid(height, width, images, images.convention.transposed_grid) if cut else (1, 1)
    tokens = picture_layout(grid)
    tiles = tokens.count(IMAGE_ATOM)
    atoms = tiles * config.vision_config.tokens_per_tile
    length = atoms + len(tokens) - tiles
    costs = operations(config, tiles, length)
    per_token = {
        name: cache_bytes_per_token(config.text_config, size) for name, size in (("float32", 4), ("bfloat16", 2))
    }
    rows = [("stage", "GFLOP"), *((stage, f"{count / 1e9:,.2f}") for stage, count in costs.items())]
    return [
        f"a picture of {width} x {height} px: {grid[0]} x {grid[1]} (rows x columns), "
        + ("one tile" if tiles == 1 else f"{tiles} tiles with the thumbnail"),
        f"  {length} tokens: {atoms} visual, {length - atoms} indicators (the question's tokens are added to these)",
        *(f"  {line}" for line in _aligned(rows)),
        "  (matrix products of the picture's tokens, 2 operations to a multiply-add, masked attention counted)",
        f"  KV cache: {_size(per_token['float32'])} a token in float32, {_size(per_token['bfloat16'])} in bfloat16 or float16; "
        f"for this picture {_size(length * per_token['float32'])} and {_size(length * per_token['bfloat16'])}",
    ]


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as columns, the first aligned left, the others right."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _size(count: int) -> str:
    """Return bytes in a readable unit."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.2f} {unit}"
