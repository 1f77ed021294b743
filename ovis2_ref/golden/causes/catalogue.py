"""All known mistakes."""

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.answers import ANSWER_CAUSES
from ovis2_ref.golden.causes.conventions import CONVENTIONS
from ovis2_ref.golden.causes.image import IMAGE_CAUSES
from ovis2_ref.golden.causes.language import LANGUAGE_CAUSES
from ovis2_ref.golden.causes.layers import LAYER_CAUSES
from ovis2_ref.golden.causes.loading import LOADING_CAUSES
from ovis2_ref.golden.causes.prompt import PROMPT_CAUSES
from ovis2_ref.golden.causes.resizing import RESIZING_CAUSES
from ovis2_ref.golden.causes.text import TEXT_CAUSES
from ovis2_ref.golden.causes.vision import VISION_CAUSES

CATALOGUE: tuple[Cause, ...] = (
    *CONVENTIONS,
    *IMAGE_CAUSES,
    *RESIZING_CAUSES,
    *VISION_CAUSES,
    *LAYER_CAUSES,
    *LOADING_CAUSES,
    *LANGUAGE_CAUSES,
    *TEXT_CAUSES,
    *PROMPT_CAUSES,
    *ANSWER_CAUSES,
)
"""Entries of one name are one mistake, made in several stages."""
