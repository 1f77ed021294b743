"""The text of the CUDA kernels, run on the CPU: g++ compiles it, and a block's threads are coroutines (coroutines.h).

The tests are those of the GPU, with the same bounds. What isn't shown: the GPU's own arithmetic and its order of execution.
"""

import ctypes
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from ovis2_ref.runtime.gpu.cuda_text import text_of
from tests.gpu.test_operations import (  # noqa: F401
    test_attend,
    test_attend_in_one,
    test_norms_and_softmax,
    test_rotate,
)
from tests.standin.array import ndarray
from tests.standin.module import standin_cupy
from tests.standin.raw import RawModule

NUMBERS = {"float16": "_Float16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
C_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def compiled(module: RawModule, folder: Path) -> ctypes.CDLL:
    """Return the text of a module as a library with a function run_NAME(grid, threads, arguments) for each kernel.

    The instructions of tensor cores, if it has them, are replaced by those of tensor_cores.h.
    """
    here, instructions = Path(__file__).parent, text_of("tensor_cores.cuh")
    text = module.code.replace(instructions, f'#include "{here / "tensor_cores.h"}"')
    text = re.sub(r"#include <cuda_\w+.h>", "", text)
    lines = [f'#include "{here / "coroutines.h"}"', text]
    for name, parameters in re.findall(
        r'extern "C" __global__ void (?:__\w+\(\d+\) )?(\w+)\((.*?)\) \{', text, re.DOTALL
    ):
        names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        grid = "unsigned blocks_x, unsigned blocks_y, unsigned blocks_z"
        call = f"launch({{blocks_x, blocks_y, blocks_z}}, of_a_block, [=] {{ {name}({names}); }});"
        lines.append(f'extern "C" void run_{name}({grid}, unsigned of_a_block, {parameters}) {{ {call} }}')
    source = Path(tempfile.mkdtemp(dir=folder)) / "kernels.cpp"
    source.write_text("\n".join(lines))
    wide = "double" if module.wide == "float64" else "float"
    numbers = {**module.defined, "NUMBER": NUMBERS[module.dtype], "WIDE": wide}
    options = [f"-D{name}={value}" for name, value in numbers.items()]
    library = source.with_suffix(".so")
    subprocess.run(["g++", *options, "-std=c++17", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


def run(library: ctypes.CDLL, name: str, grid: tuple[int, ...], block: Any, arguments: Any) -> None:
    """Run a kernel in place of the stand-in's formula."""

    def passed(a: Any) -> Any:
        if isinstance(a, ndarray):
            return ctypes.c_void_p(a.data.ptr)
        return ctypes.c_longlong(a) if isinstance(a, int) else C_TYPES[a.dtype.name](a)

    getattr(library, f"run_{name}")(*grid, *[1] * (3 - len(grid)), *block, *map(passed, arguments))


@pytest.fixture(scope="module")
def xp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The stand-in for CuPy, whose kernels are the text of the CUDA files."""
    if which("g++") is None:
        pytest.skip("there is no g++")
    folder, libraries = tmp_path_factory.mktemp("libraries"), {}

    def run_text(module: RawModule, *call: Any) -> None:
        if module not in libraries:
            libraries[module] = compiled(module, folder)
        run(libraries[module], *call)

    with standin_cupy() as cupy, patch.object(RawModule, "_run", run_text):
        yield cupy
