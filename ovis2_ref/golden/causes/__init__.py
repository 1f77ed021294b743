"""Known mistakes: each an entry that says how a stage's value comes out with this one mistake, and where to look."""

from collections.abc import Callable
from dataclasses import dataclass

from ovis2_ref.runtime.arrays import Array


@dataclass(frozen=True)
class Cause:
    """One mistake."""

    name: str
    stages: tuple[str, ...]
    """Patterns of the taps whose formula it replaces, such as "*.attention.scores"; without a pass (#2)."""
    compute: Callable[..., Array]
    """The stage with this one mistake: compute(reference, weights of the part, *inputs), the arguments of the stage's formula."""
    look: str
    """Where to look in a port."""
    thread: str = ""
    """Where it happened: the address of a public thread, or nothing."""
    inputs: tuple[str, ...] | None = None
    """What `compute` takes, where the stage's own formula takes something else: names inside the part, or, after a "/", whole.

    "each picture", "each grid", "each canvas" and "each tiles" mean these values of all pictures.
    """
    prompt_only: bool = False
    """True for a mistake that is made when the prompt is read, and in no later pass."""
    of_result: bool = False
    """True if `compute` takes the stage's right value in front of its inputs."""
