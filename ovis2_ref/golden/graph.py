"""All stages of a run in execution order, by tap."""

from collections.abc import Mapping

from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.golden.formulas_image import image_stages
from ovis2_ref.golden.formulas_language import answer, language_stages
from ovis2_ref.golden.formulas_vision import vision_stages
from ovis2_ref.golden.stages import GIVEN, Stage, numbered, split_number
from ovis2_ref.runtime.arrays import Array


def run_stages(config: Ovis2Config, convention: Convention, pictures: int, steps: int) -> dict[str, Stage]:
    """Return every stage of a run with so many pictures, and so many passes of the language model (one for the prompt)."""
    stages = [*image_stages(convention, pictures), *vision_stages(config, convention)] if pictures else []
    for step in range(1, steps + 1):
        stages += language_stages(config, step, pictures > 0)
    logits = [numbered("lm_head.output", step) for step in range(1, steps + 1)]
    stages.append(Stage("generated", ("input_ids", *logits), "", answer))
    return {stage.tap: stage for stage in stages}


def given_pictures(taps: Mapping[str, Array]) -> dict[str, Array]:
    """Return the pictures among the taps of a golden file, under the names that the first stages take them by."""
    named = {name: split_number(name) for name in taps}
    return {numbered(GIVEN, i): taps[name] for name, (tap, i) in named.items() if tap == "image.picture"}
