"""All known mistakes."""

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.conventions import CONVENTIONS

CATALOGUE: tuple[Cause, ...] = (*CONVENTIONS,)
