"""Component cases: drawn inputs and outputs of single operations, for ports that have no whole model yet.

    ovis2-ref golden cases -o cases        writes cases/index.json and cases/cases.safetensors
    ovis2-ref golden check cases port.py   runs the functions of port.py on them

index.json says for each component what it is, its formula, and the names of its inputs; cases.safetensors holds the arrays
`<component>.<number>.<dtype>.<input or "output">`, float64 and float32. A function in port.py has the component's name and takes
the inputs in order, as NumPy arrays and numbers.
"""

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ovis2_ref import ops
from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.errors import InputError
from ovis2_ref.files.reading import read_json
from ovis2_ref.golden.bands import MARGIN, row_error
from ovis2_ref.golden.file import Golden, read_golden, write_golden
from ovis2_ref.image.filters import FILTERS, windows
from ovis2_ref.image.resize import pillow_resize
from ovis2_ref.image.tiling import covering_grid
from ovis2_ref.language.rope import rotate
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.visual_tokenizer import merge_patches

COUNT = 24
"""Cases of each component."""
DTYPES = ("float64", "float32")

Inputs = dict[str, Any]


class Component(NamedTuple):
    """An operation: its formula in words, its function, and how its inputs are drawn."""

    formula: str
    function: Callable[..., Any]
    draw: Callable[[np.random.Generator], Inputs]


def _normal(random: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    return random.standard_normal(shape) * scale


def _rows(random: np.random.Generator) -> tuple[int, int]:
    return int(random.integers(1, 5)), int(random.integers(2, 40))


def _norm_inputs(random: np.random.Generator) -> Inputs:
    rows, width = _rows(random)
    scale = 10.0 ** random.integers(-4, 3)
    return {"x": _normal(random, rows, width, scale=scale), "weight": 1 + _normal(random, width) / 4, "eps": 1e-6}


def _layer_norm_inputs(random: np.random.Generator) -> Inputs:
    rows, width = _rows(random)
    weight, bias = 1 + _normal(random, width) / 4, _normal(random, width) / 4
    return {"x": _normal(random, rows, width, scale=10.0 ** random.integers(-2, 3)), "weight": weight, "bias": bias}


def _attention_inputs(random: np.random.Generator) -> Inputs:
    kv_heads, group, tokens = (int(random.integers(1, 4)) for _ in range(3))
    width = 2 * int(random.integers(1, 9))
    heads = kv_heads * group
    return {
        "q": _normal(random, 1, heads, tokens, width),
        "k": _normal(random, 1, kv_heads, tokens, width),
        "v": _normal(random, 1, kv_heads, tokens, width),
    }


def _causal_attention(q: Any, k: Any, v: Any) -> Any:
    tokens = q.shape[2]
    lowest = np.finfo(q.dtype).min
    mask = np.where(np.tri(tokens, dtype=bool), 0, lowest).astype(q.dtype)[None, None]
    return ops.attend(q, k, v, mask, Weights({}))


def _rotary_inputs(random: np.random.Generator) -> Inputs:
    heads, tokens, pairs = (int(random.integers(1, 6)) for _ in range(3))
    angles = np.arange(tokens)[:, None] * 10000.0 ** -(np.arange(pairs) / pairs)
    return {"x": _normal(random, 1, heads, tokens, 2 * pairs), "cos": np.cos(angles)[None], "sin": np.sin(angles)[None]}


def _merge_inputs(random: np.random.Generator) -> Inputs:
    stride, squares = int(random.integers(1, 4)), int(random.integers(1, 4))
    return {"features": _normal(random, 2, (stride * squares) ** 2, 5), "stride": stride}


def _gated_inputs(random: np.random.Generator) -> Inputs:
    shape = _rows(random)
    return {"gate": _normal(random, *shape, scale=3), "up": _normal(random, *shape)}


def _size_inputs(random: np.random.Generator) -> Inputs:
    return {
        "height": int(random.integers(20, 3000)),
        "width": int(random.integers(20, 3000)),
        "side": 448,
        "max_tiles": 9,
    }


def _resize_inputs(random: np.random.Generator) -> Inputs:
    size = random.integers(2, 40, 4)
    return {
        "picture": random.integers(0, 256, (3, *size[:2]), dtype=np.uint8),
        "height": int(size[2]),
        "width": int(size[3]),
    }


def _filter_inputs(random: np.random.Generator) -> Inputs:
    return {"size_in": int(random.integers(2, 60)), "size_out": int(random.integers(2, 60))}


COMPONENTS: dict[str, Component] = {
    "rms_norm": Component(
        "weight * x / sqrt(mean(x^2) + eps), over the last axis",
        lambda x, weight, eps: ops.rms_norm(x, Weights({"weight": weight}), eps),
        _norm_inputs,
    ),
    "layer_norm": Component(
        "weight * (x - mean) / sqrt(variance + 1e-5) + bias, over the last axis",
        lambda x, weight, bias: ops.layer_norm(x, Weights({"weight": weight, "bias": bias})),
        _layer_norm_inputs,
    ),
    "softmax": Component(
        "exp(x_i) / sum_j exp(x_j), over the last axis",
        ops.softmax,
        lambda random: {"x": _normal(random, *_rows(random), scale=10.0 ** random.integers(-1, 4))},
    ),
    "swiglu": Component("silu(gate) * up", lambda gate, up: ACTIVATIONS["silu"](gate) * up, _gated_inputs),
    "attention": Component(
        "softmax(q k^T / sqrt(head_dim)) v, each query up to itself; heads 0 to g - 1 share key head 0",
        _causal_attention,
        _attention_inputs,
    ),
    "rotate": Component(
        "(a cos - b sin, b cos + a sin); number i of a head is paired with number i + head_dim / 2",
        rotate,
        _rotary_inputs,
    ),
    "merge_patches": Component(
        "the features of each stride x stride square side by side, in reading order", merge_patches, _merge_inputs
    ),
    "covering_grid": Component(
        "(rows, columns): the fewest tiles that keep more than 90 % of the pixels",
        lambda height, width, side, max_tiles: np.array(covering_grid(height, width, side, max_tiles)),
        _size_inputs,
    ),
    "bicubic_weights": Component(
        "the matrix of one pass: output pixel i is the weighted mean of the input pixels under its window (a = -1/2, antialias)",
        lambda size_in, size_out: windows(size_in, size_out, FILTERS["bicubic"]).matrix(),
        _filter_inputs,
    ),
    "resize": Component(
        "Pillow 13's bicubic resize of bytes (channels, height, width) to (height, width)",
        lambda picture, height, width: pillow_resize(picture, (height, width)),
        _resize_inputs,
    ),
}


def write_cases(folder: str | Path, seed: int = 0) -> None:
    """Write the cases of every component into `folder`, the same ones for the same seed."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    taps: dict[str, np.ndarray] = {}
    index: dict[str, Any] = {}
    for name, component in COMPONENTS.items():
        random = np.random.default_rng([seed, *name.encode()])
        cases = [component.draw(random) for _ in range(COUNT)]
        numbers = [{key: value for key, value in case.items() if not isinstance(value, np.ndarray)} for case in cases]
        index[name] = {"formula": component.formula, "inputs": list(cases[0]), "numbers": numbers}
        for i, case in enumerate(cases):
            for dtype in DTYPES:
                inputs = _in_dtype(case, dtype)
                arrays = {key: value for key, value in inputs.items() if isinstance(value, np.ndarray)}
                arrays["output"] = np.asarray(component.function(*inputs.values()))
                taps |= {f"{name}.{i}.{dtype}.{key}": value for key, value in arrays.items()}
    write_golden(path / "cases.safetensors", Golden(taps, {"dtype": "float64"}))
    (path / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def _in_dtype(case: Inputs, dtype: str) -> Inputs:
    return {
        key: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for key, value in case.items()
    }


class Result(NamedTuple):
    """The result of a function on the cases of its component, in one type."""

    name: str
    dtype: str
    wrong: int
    of: int
    first: str
    """The fault of the first wrong case."""


def check_cases(folder: str | Path, module: str | Path) -> Iterator[Result]:
    """Run the functions of the Python file `module`, which is trusted, on the cases in `folder`.

    A float64 output may have an error of 1e-12; a float32 one twice that of the cases' own, or two units in the last place.
    """
    index = read_index(folder)
    golden = read_golden(Path(folder) / "cases.safetensors")
    if not Path(module).is_file():
        raise InputError(
            f"there is no file {str(module)!r}; give a Python file with functions called {', '.join(COMPONENTS)}"
        )
    try:
        functions = runpy.run_path(str(module))
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{module} can't be run ({type(error).__name__}: {str(error)[:200]}); it is imported first"
        ) from error
    for name in (name for name in index if callable(functions.get(name))):
        for dtype in DTYPES:
            wrong = [fault for i in range(COUNT) if (fault := _fault(golden, index, name, i, dtype, functions[name]))]
            yield Result(name, dtype, len(wrong), COUNT, wrong[0] if wrong else "")


def read_index(folder: str | Path) -> dict[str, Any]:
    """Return cases/index.json. Raises `InputError` if it isn't what `write_cases` writes, `CheckpointError` if it is no JSON."""
    index = read_json(folder, "index.json")
    for name, entry in index.items():
        good = name in COMPONENTS and isinstance(entry, dict) and entry.keys() >= {"inputs", "numbers"}
        good = good and isinstance(entry["numbers"], list) and len(entry["numbers"]) == COUNT
        good = good and all(isinstance(numbers, dict) for numbers in entry["numbers"])
        if (
            not good
            or not isinstance(entry["inputs"], list)
            or not all(isinstance(key, str) for key in entry["inputs"])
        ):
            raise InputError(
                f"{folder}/index.json: the entry {name!r:.80} is damaged; write the cases again (golden cases)"
            )
    return index


def _fault(golden: Golden, index: Any, name: str, i: int, dtype: str, function: Callable[..., Any]) -> str:
    """Return what is wrong with a function's output on a case; nothing if it is right."""
    numbers, prefix = index[name]["numbers"][i], f"{name}.{i}.{dtype}."
    try:
        inputs = [numbers[key] if key in numbers else golden.taps[prefix + key].copy() for key in index[name]["inputs"]]
        expected, truth = golden.taps[prefix + "output"], golden.taps[f"{name}.{i}.float64.output"]
    except KeyError as error:
        raise InputError(f"the cases have no {error}; write them again (golden cases)") from error
    try:
        output = np.asarray(function(*inputs))
    except Exception as error:
        return f"case {i}: {type(error).__name__}: {error}"
    if output.shape != expected.shape:
        return f"case {i}: the shape is {output.shape}; {expected.shape} was expected"
    if expected.dtype.kind in "iub":
        return (
            ""
            if np.array_equal(output, expected)
            else f"case {i}: {output.tolist()!s:.60}; {expected.tolist()!s:.60} was expected"
        )
    band = (
        1e-12 if dtype == "float64" else max(MARGIN * row_error(expected, truth), 2 * float(np.finfo(np.float32).eps))
    )
    off = row_error(output, truth if dtype == "float32" else expected)
    return "" if off <= band else f"case {i}: off by {off:.2g} of a row; {band:.2g} is allowed"
