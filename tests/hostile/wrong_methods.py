"""Call every public method of the public objects with wrong arguments: `python -m tests.hostile.wrong_methods` lists what is
neither an answer nor an error of ours. A call that Python's own signature refuses doesn't count.

In a process of its own: the checks of shapes that the tests switch on would refuse odd values before the methods do.
"""

import inspect
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ovis2_ref import (
    TINY,
    GenerationConfig,
    Ovis2Config,
    Ovis2ForConditionalGeneration,
    Ovis2ImageProcessorFast,
    Ovis2Processor,
)
from ovis2_ref.errors import OvisError

IDS = np.array([[3, 5, 7]])
VALUES = (
    *(None, 5, -1, 10**12, 1.5, float("nan"), True, "x", "", b"x", object(), len),
    *([], [5], [None], ["x"], [[1, 2], [3]], [{}], {}, {"x": 5}, {"input_ids": 5}, {"role": "user"}),
    *(np.array(5), np.zeros(0), np.zeros((1, 3)), np.zeros((1, 3), int), np.full((2, 2), -1), np.array(["x"])),
    *(np.full((1, 3), 10**9), np.zeros((1, 2, 3), np.float32), np.zeros((1, 3, 4, 5), np.float32), np.array([None])),
)
"""What nobody should give; some of it fits some of the arguments."""

PYTHONS = {"BatchFeature": set(dir(dict)), "GenerationConfig": set(dir(dict)) - {"update"}, "CausalLMOutput": {"get"}}
INNER = {"collate", "expect", "expect_bounds", "expect_types", "fault", "of_file"}
"""Methods that are called by other parts of the package alone."""

CHAT = [{"role": "user", "content": "a"}]
FIRST = {
    "from_pretrained": TINY,
    "apply_chat_template": CHAT,
    "rescale": np.zeros((4, 5, 3), np.uint8),
    **dict.fromkeys(("normalize", "center_crop", "resize", "crop_image_to_patches"), np.zeros((4, 5, 3), np.uint8)),
    "from_dict": {},
    "save_pretrained": "saved",
    "random": Ovis2Config.from_pretrained(TINY),
    "tokenize": "a",
    "encode": "a",
}
"""A right first argument, where it isn't a row of ids."""


def objects() -> list[Any]:
    """Return one object of each public class that has methods."""
    processor, model = Ovis2Processor.from_pretrained(TINY), Ovis2ForConditionalGeneration.from_pretrained(TINY)
    fast = Ovis2ImageProcessorFast(size=8)
    inputs = processor(text="Hello", images=None)
    output = model(**inputs)
    settings = GenerationConfig(max_new_tokens=2)
    parts = [processor, processor.tokenizer, processor.image_processor, fast, model, model.model, model.config]
    return [*parts, model.config.text_config, settings, inputs, output]


def methods(thing: Any) -> Iterator[str]:
    """Yield the names of the public methods of `thing`, `__call__` among them."""
    left_out = INNER | PYTHONS.get(type(thing).__name__, set())
    for name in dir(type(thing)):
        value = getattr(type(thing), name)
        is_public = name == "__call__" or name[0] != "_"
        if is_public and name not in left_out and callable(value) and not isinstance(value, type):
            yield name


def wrong_calls(method: Callable[..., Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield arguments: each value in the first place, and by the name of every further one, the first being right or None."""
    yield (), {}
    for value in VALUES:
        yield (value,), {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [name for name, p in inspect.signature(method).parameters.items() if p.kind in kinds]
    for name in names[1:]:
        for value in VALUES:
            yield (FIRST.get(method.__name__, IDS),), {name: value}


def outcome(method: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """Return what a call raised that is no error of ours; None for an answer, an error of ours, or no call at all."""
    try:
        inspect.signature(method).bind(*arguments, **options)
    except TypeError:
        return None
    try:
        method(*arguments, **options)
    except OvisError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.100}"
    return None


def main() -> None:
    """Print the wrong answers, one to a method and argument, and how many calls there were."""
    os.chdir(tempfile.mkdtemp())
    warnings.simplefilter("ignore")
    calls = 0
    for thing in objects():
        for name in methods(thing):
            found: dict[str, str] = {}
            for arguments, options in wrong_calls(getattr(thing, name)):
                calls += 1
                wrong = outcome(getattr(thing, name), arguments, options)
                if wrong is not None:
                    given = f"{next(iter(options))}=" if options else ""
                    value = next(iter(options.values())) if options else arguments[0] if arguments else ""
                    found.setdefault(given, f"{type(thing).__name__}.{name}({given}{value!r:.60}): {wrong}")
            print("\n".join(found.values()), end="\n" if found else "")
    print(f"{calls} calls")


if __name__ == "__main__":
    main()
