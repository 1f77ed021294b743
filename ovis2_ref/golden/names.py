"""Other programs' names of the taps: ready maps, and a reader for maps.

A map is JSON: a name -> a tap, or a list of taps that lie side by side in the array (an empty list: a value that has no tap).
`{i}` means the same number on both sides:

    {"blk.{i}.attn_qkv": ["model.language_model.layers.{i}.self_attn.q_proj.output", ...]}
"""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.files.reading import open_regular, parse_json

Names: TypeAlias = Mapping[str, str | list[str]]
READY = ("transformers", "original", "vllm", "llama_cpp")
"""The ready maps, in `maps/`. The entry "" of each gives the version of its program."""
LIMIT = 2**20


def read_names(source: str | Path) -> Names:
    """Return the ready map of that name, or the map in a JSON file. Raises `InputError` for any other file."""
    if str(source) in READY:
        return dict(json.loads((files(__package__) / "maps" / f"{source}.json").read_text("utf-8")))
    path = Path(source)
    if not path.is_file() or path.stat().st_size > LIMIT:
        raise InputError(f"there is no map of names {str(source)!r}; give a JSON file, or one of {', '.join(READY)}")
    with open_regular(path.resolve()) as file:
        names = parse_json(file.read(LIMIT), str(path))
    for name, taps in names.items():
        if not isinstance(taps, str | list) or not all(isinstance(tap, str) for tap in taps):
            raise InputError(f"{path}: {name!r} should be a tap or a list of taps, not {shown(taps)}")
    return names


def resolve(name: str, names: Names) -> list[str] | None:
    """Return the taps that the map has for a name: an empty list for a value without a tap, None for an unknown name."""
    if name and name in names:
        return _listed(names[name])
    for pattern, taps in names.items():
        if "{i}" in pattern:
            match = re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(\d{1,5})"), name)
            if match:
                return [tap.replace("{i}", match[1]) for tap in _listed(taps)]
    return None


def _listed(taps: str | list[str]) -> list[str]:
    return [taps] if isinstance(taps, str) else list(taps)
