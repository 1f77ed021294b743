"""Known mistakes: each entry computes a stage's value with this one mistake, and says where to look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ovis2_ref.runtime.arrays import Array


@dataclass(frozen=True)
class Cause:
    """One mistake."""

    name: str
    stages: tuple[str, ...]
    """Patterns of the taps whose formula it replaces, such as "*.attention.scores"; without a pass (#2)."""
    compute: Callable[..., Array] | None
    """The stage with this one mistake: compute(reference, weights of the part, *inputs), the arguments of the stage's formula.

    None for the formula itself, with other `weights`.
    """
    look: str
    """Where to look in a port."""
    thread: str = ""
    """The address of a public thread where it happened, or nothing."""
    inputs: tuple[str, ...] | None = None
    """The inputs of `compute`, where they differ from the formula's: names inside the part, or, after a "/", whole names.

    "each picture", "each grid", "each canvas" and "each tiles" mean these values of all pictures.
    """
    prompt_only: bool = False
    """True for a mistake that only the pass over the prompt can have."""
    of_result: bool = False
    """True if `compute` takes the stage's right value before its inputs; `inputs` then come after the formula's own."""
    weights: Callable[[Mapping[str, Array], str], Array] | None = None
    """The weight of a name as this mistake has it: weights(all right weights, name)."""
    recorded_only: bool = False
    """True for a mistake that is looked for where the value itself was recorded, and not further on: other entries of the name
    have it there."""
