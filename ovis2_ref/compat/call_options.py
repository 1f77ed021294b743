"""Sort the options of a processor's call: those of the tokenizer, and those of the image processor."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.batch_feature import check_return_tensors
from ovis2_ref.compat.idle import IMAGE_OPTIONS, PROCESSOR_OPTIONS, TEXT_OPTIONS
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import mapping
from ovis2_ref.image.processor import OPTIONS
from ovis2_ref.text.tokenizer import RULES

TAKERS = {"text_kwargs": (RULES, TEXT_OPTIONS), "images_kwargs": (OPTIONS, IMAGE_OPTIONS)}
"""For each dictionary of options: the names that have an effect, and the table of those that change nothing."""

OWN = {"return_tensors", "return_mm_token_type_ids"}
"""Options of the processor itself."""


class CallOptions(NamedTuple):
    """What one call of a processor asks for."""

    text: dict[str, Any]
    images: dict[str, Any]
    return_tensors: str | None
    return_mm_token_type_ids: bool


def sort_options(options: Mapping[str, Any], return_tensors: Any) -> CallOptions:
    """Return the `options` of a call, flat or in `text_kwargs`, `images_kwargs` and `common_kwargs`; None means the default.

    A flat option overrides one of `common_kwargs`. Raises `InputError` for an unknown name, and for one given twice.
    """
    flat = given(active("the processor", options, PROCESSOR_OPTIONS))
    nested = {name: mapping(name, flat.pop(name, None)) for name in (*TAKERS, "common_kwargs")}
    known = {*OWN, *nested}.union(*(names | set(idle) for names, idle in TAKERS.values()))
    check_names("the processor", flat, known)
    own = {name: flat.pop(name) for name in OWN & set(flat)}
    sorted_options = []
    for name, (names, idle) in TAKERS.items():
        twice = set(flat) & set(nested[name])
        if twice:
            raise InputError(f"{', '.join(sorted(twice))}: given as an argument and in {name}; give it once")
        for option in OWN & set(nested[name]):
            own.setdefault(option, nested[name].pop(option))
        both = {**nested["common_kwargs"], **flat}
        taken = {option: value for option, value in both.items() if option in names or option in idle}
        sorted_options.append(given(active("the processor", {**taken, **nested[name]}, idle)))
        check_names(name, sorted_options[-1], names)
    kind = own.get("return_tensors", nested["common_kwargs"].get("return_tensors", return_tensors))
    text, images = ({k: v for k, v in part.items() if k not in OWN} for part in sorted_options)
    return CallOptions(text, images, check_return_tensors(kind), own.get("return_mm_token_type_ids", False))
