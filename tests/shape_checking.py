"""The checker of signatures that the import hook puts on every function of the package: beartype, over jaxtyping's shapes."""

from collections.abc import Callable
from typing import Any, Self

from beartype import BeartypeConf, beartype

CONFIGURATION = BeartypeConf(is_pep484_tower=True)
"""A whole number will do where a float is asked for, as it does for every type checker."""

CHECKED_INSIDE = {
    "ovis2_ref.model": (
        "forward",
        "_hidden_states",
        "get_image_features",
        "get_input_embeddings",
        "get_placeholder_mask",
        "generate",
    ),
    "ovis2_ref.language.cache": ("crop", "reorder", "reserve"),
}
"""Functions that check what callers give them: tests of their refusals have to reach them."""
SELF_CHECKED = ("ovis2_ref.config", "ovis2_ref.generation.settings", "ovis2_ref.image.options", "ovis2_ref.text.batch")


def checked(function: Callable) -> Callable:
    """Return the function, checked by beartype at every call; `Self`, which it takes in whole classes only, is let through.

    So is the making of a configuration, which checks its own fields and says what is wrong with them.
    """
    if function.__module__ in SELF_CHECKED and function.__name__ == "__init__":
        return function
    if function.__name__ in CHECKED_INSIDE.get(function.__module__, ()):
        return function
    annotations = getattr(function, "__annotations__", {})
    for name, hint in annotations.items():
        if hint is Self:
            annotations[name] = Any
    return beartype(conf=CONFIGURATION)(function)
