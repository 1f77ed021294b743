"""All stages of a run in execution order, by tap."""

from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.golden.formulas_image import image_stages
from ovis2_ref.golden.formulas_language import greedy_tokens, language_stages
from ovis2_ref.golden.formulas_vision import vision_stages
from ovis2_ref.golden.stages import Stage, numbered


def run_stages(config: Ovis2Config, convention: Convention, pictures: int, steps: int) -> dict[str, Stage]:
    """Return every stage of a run with so many pictures, and so many passes of the language model (one for the prompt)."""
    stages = [*image_stages(convention, pictures), *vision_stages(config, convention)] if pictures else []
    for step in range(1, steps + 1):
        stages += language_stages(config, step, pictures > 0)
    logits = [numbered("lm_head.output", step) for step in range(1, steps + 1)]
    stages.append(Stage("generated", ("input_ids", *logits), "", greedy_tokens))
    return {stage.tap: stage for stage in stages}
