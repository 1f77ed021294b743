"""What CuPy's public names accept, as a table that is made where CuPy is installed and read where it is not.

    python -m tests.standin.table        # rewrites cupy_table.json from the installed CuPy

No GPU and no driver are needed to make it. A signature is written as `a, axis=, *, dtype=`: names, with `=` where there is
a default.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("cupy_table.json")
MARKS = {"*": inspect.Parameter.VAR_POSITIONAL, "**": inspect.Parameter.VAR_KEYWORD}


def read() -> dict[str, Any]:
    """Return the committed table: `cupy` (its version), `functions` and `methods` (signatures), `ufuncs` (loops), and names."""
    return json.loads(FILE.read_text())


def signature_text(parameters: list[inspect.Parameter]) -> str:
    """Return the table's spelling of a signature."""
    words, keyword_only = [], False
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
                words.append("*")
        mark = next((text for text, kind in MARKS.items() if parameter.kind is kind), "")
        words.append(mark + parameter.name + ("" if parameter.default is parameter.empty else "="))
        following = parameters[i + 1].kind if i + 1 < len(parameters) else None
        if parameter.kind is parameter.POSITIONAL_ONLY and following is not parameter.POSITIONAL_ONLY:
            words.append("/")
    return ", ".join(words)


def signature(text: str) -> inspect.Signature:
    """Return the signature that `signature_text` wrote."""
    parameters: list[inspect.Parameter] = []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for word in text.split(", ") if text else []:
        name = word.strip("*=")
        if word == "/":
            parameters = [p.replace(kind=p.POSITIONAL_ONLY) for p in parameters]
        elif word == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif word.startswith("*"):
            parameters.append(inspect.Parameter(name, MARKS[word[: len(word) - len(name)]]))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            default = None if word.endswith("=") else inspect.Parameter.empty
            parameters.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature(parameters)


def documented_signature(function: Any) -> str | None:
    """Return the signature in the first line of a Cython function's docstring, without its types; None if it has none."""
    first = (function.__doc__ or "").split("\n")[0]
    found = re.match(r"[\w.]+\((.*)\)( -> .*)?$", first)
    if not found:
        return None
    words = [re.sub(r"=.*", "=", word) for word in found[1].split(", ")]
    return ", ".join(word.split(" ")[-1] for word in words if word.split(" ")[-1] != "self")


def of_installed_cupy() -> dict[str, Any]:
    """Return the table of the CuPy that is installed here."""
    import cupy

    table: dict[str, Any] = {
        "cupy": cupy.__version__, "constants": [], "attributes": [], "functions": {}, "methods": {}, "ufuncs": {},
    }  # fmt: skip
    for name in sorted(n for n in dir(cupy) if not n.startswith("_")):
        value = getattr(cupy, name)
        if isinstance(value, cupy.ufunc):
            table["ufuncs"][name] = " ".join(value.types)
        elif value is None or isinstance(value, (float, type)):
            table["constants"].append(name)
        elif callable(value):
            text = _text(value)
            if text is not None:
                table["functions"][name] = text
    # cupy.where is a function around a ufunc, whose loops decide the result's type.
    table["ufuncs"]["where"] = " ".join(cupy._sorting.search._where_ufunc.types)
    for name in sorted(n for n in dir(cupy.ndarray) if not n.startswith("_")):
        value = getattr(cupy.ndarray, name)
        text = documented_signature(value) if callable(value) else None
        if text is None:
            table["attributes"].append(name)
        else:
            table["methods"][name] = text
    return table


def _text(function: Any) -> str | None:
    try:
        return signature_text(list(inspect.signature(function).parameters.values()))
    except ValueError:
        return documented_signature(function)


if __name__ == "__main__":
    FILE.write_text(json.dumps(of_installed_cupy(), indent=1).replace("\\u2019", "'") + "\n")
