"""Tell the generations of Ovis apart by config.json: only Ovis2 is computed here."""

from collections.abc import Mapping
from typing import Any

from ovis2_ref.errors import CheckpointError

OTHERS = {
    "ovis2_5": "Ovis2.5",
    "ovis2_6": "Ovis2.6",
    "ovis_u1": "Ovis-U1",
    "ovisu1": "Ovis-U1",
    "ovis_image": "Ovis-Image",
}
"""How the `model_type` of other generations begins, and their names."""


def other_generation(values: Mapping[str, Any]) -> str | None:
    """Return the name of the generation that config.json's `values` describe, if it isn't Ovis2."""
    kind, visual = values.get("model_type"), values.get("visual_tokenizer_config")
    backbone = visual.get("backbone_config") if isinstance(visual, Mapping) else None
    sees_with = backbone.get("model_type") if isinstance(backbone, Mapping) else None
    for beginning, name in OTHERS.items():
        if isinstance(kind, str) and kind.lower().replace(".", "_").startswith(beginning):
            return name
    return (
        "Ovis1.x"
        if kind == "ovis" and isinstance(sees_with, str) and sees_with.startswith(("siglip", "clip"))
        else None
    )


def expect_ovis2(values: Mapping[str, Any], folder: Any) -> None:
    """Raise `CheckpointError` if the config.json of `folder` describes another generation of Ovis."""
    name = other_generation(values)
    if name is not None:
        raise CheckpointError(
            f"{folder} holds an {name} (config.json is of model_type {values['model_type']!r}), another model; ovis2_ref "
            "computes Ovis2 alone: run it with the authors' code, or take one of Ovis2-1B to Ovis2-34B"
        )
