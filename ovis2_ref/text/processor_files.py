"""Read the three sets of processor files (transformers 4.56, transformers 5.x, the authors'), and write the first.

transformers 4.56: processor_config.json, preprocessor_config.json, chat_template.jinja, the tokenizer's
transformers 5.x:  processor_config.json (the image processor inside), chat_template.jinja, the tokenizer's
the authors:       preprocessor_config.json (a CLIPImageProcessor's), the tokenizer's, and config.json for the sizes
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovis2_ref.config import MOST_PATCHES, Ovis2Config, Ovis2VisionConfig
from ovis2_ref.config.generations import expect_ovis2
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import whole
from ovis2_ref.files.reading import has_file, read_bounded, read_json
from ovis2_ref.files.writing import json_text, write_text
from ovis2_ref.image.options import image_settings
from ovis2_ref.text.chat import CHAT_TEMPLATE, check_chat_template
from ovis2_ref.text.layout import IMAGE_TOKEN

TEMPLATE_LIMIT = 2**20
"""Bytes of a chat template at most."""

DEFAULT_SEQ_LENGTH = 256


@dataclass(frozen=True)
class ProcessorFiles:
    """The settings of a processor in a folder, without its tokenizer's."""

    image_processor: dict[str, Any]
    image_seq_length: int
    config: Ovis2Config | None
    """The model's configuration, where the folder has one of transformers' layout."""
    of_authors: bool
    chat_template: str = CHAT_TEMPLATE


def read_processor_files(root: Path) -> ProcessorFiles:
    """Return the settings in `root`, of any of the sets. Raises `CheckpointError` for files that are missing, damaged, or don't
    fit each other, and for a chat template other than Ovis2's.
    """
    model = read_json(root, "config.json") if has_file(root, "config.json") else {}
    expect_ovis2(model, root)
    if model.get("model_type") == "ovis":
        return _authors(root, model)
    settings = read_json(root, "processor_config.json") if has_file(root, "processor_config.json") else {}
    image_processor = image_settings(root)
    template = _chat_template(root)
    length = settings.get("image_seq_length", DEFAULT_SEQ_LENGTH)
    whole(
        "image_seq_length",
        length,
        1,
        MOST_PATCHES,
        lambda text: CheckpointError(f"{root}/processor_config.json: {text}"),
    )
    config = Ovis2Config.from_pretrained(root) if model else None
    if config is not None and config.vision_config.tokens_per_tile != length:
        raise CheckpointError(
            f"{root}: processor_config.json has image_seq_length={length}, the model of config.json makes "
            f"{config.vision_config.tokens_per_tile} visual tokens of a tile; take both files from one checkpoint"
        )
    return ProcessorFiles(image_processor, length, config, of_authors=False, chat_template=template)


def write_processor_files(
    folder: Path, image_processor: dict[str, Any], image_seq_length: int, chat_template: str = CHAT_TEMPLATE
) -> None:
    """Write the set of transformers 4.56, which 5.x reads too."""
    settings = {"image_seq_length": image_seq_length, "image_token": IMAGE_TOKEN, "processor_class": "Ovis2Processor"}
    image_processor = {**image_processor, "processor_class": "Ovis2Processor"}
    for name, values in (("processor_config.json", settings), ("preprocessor_config.json", image_processor)):
        write_text(folder / name, json_text(values))
    write_text(folder / "chat_template.jinja", chat_template)


def _authors(root: Path, model: dict[str, Any]) -> ProcessorFiles:
    """Return the authors' set. Their tokenizer_config.json may carry Qwen2.5's chat template, which their code never uses."""
    clip = read_json(root, "preprocessor_config.json")
    visual = model.get("visual_tokenizer_config")
    backbone = visual.get("backbone_config") if isinstance(visual, dict) else None
    if not isinstance(visual, dict) or not isinstance(backbone, dict) or not isinstance(clip.get("crop_size"), dict):
        raise CheckpointError(
            f"{root} is no Ovis2 in its authors' layout: visual_tokenizer_config with a backbone_config was expected in "
            "config.json, crop_size in preprocessor_config.json"
        )
    sizes = {"image_size": backbone.get("image_size"), "patch_size": backbone.get("patch_size")}
    vision = Ovis2VisionConfig.from_dict({**sizes, "hidden_stride": visual.get("hidden_stride")})
    names = (
        "do_convert_rgb",
        "do_normalize",
        "do_rescale",
        "do_resize",
        "image_mean",
        "image_std",
        "resample",
        "rescale_factor",
    )
    # A tile's side is their crop_size (Aimv2VisualTokenizer.get_image_size); their size has one edge only.
    image_processor = {name: clip[name] for name in names if name in clip} | {
        "size": clip["crop_size"],
        "crop_to_patches": True,
    }
    return ProcessorFiles(image_processor, vision.tokens_per_tile, None, of_authors=True)


def _chat_template(root: Path) -> str:
    """Return the chat template that transformers takes for the processor: the first that is there, and the tokenizer's where the
    processor has none. Raises `CheckpointError` unless it is Ovis2's; those that don't count may be any.
    """
    for name in ("processor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer_config.json"):
        if not has_file(root, name):
            continue
        if name.endswith(".jinja"):
            template: Any = read_bounded(root, name, TEMPLATE_LIMIT).decode("utf-8", errors="replace")
        else:
            template = read_json(root, name).get("chat_template")
        if template is not None:
            check_chat_template(template, f"{root}/{name}")
            return template
    return CHAT_TEMPLATE
