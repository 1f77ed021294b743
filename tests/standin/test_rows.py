"""The text of rows.cu, run on the CPU: g++ compiles it, and a block's threads are coroutines (coroutines.h).

The tests are those of the GPU, with the same bounds. What isn't shown: the GPU's own arithmetic and its order of execution.
"""

import ctypes
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from ovis2_ref.runtime.cuda_text import ROWS
from tests.gpu.test_operations import test_attend, test_norms_and_softmax, test_rotate  # noqa: F401
from tests.standin.array import ndarray
from tests.standin.module import standin_cupy
from tests.standin.raw import RawModule

NUMBERS = {"float16": "_Float16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
C_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def compiled(folder: Path, dtype: str) -> ctypes.CDLL:
    """Return rows.cu for a type, as a library with a function run_NAME(grid, threads, arguments) for each kernel."""
    text = re.sub(r"#include <cuda_\w+.h>", "", ROWS.read_text())
    lines = [f'#include "{Path(__file__).with_name("coroutines.h")}"', text]
    for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\((.*?)\) \{', text, re.DOTALL):
        names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        grid = "unsigned blocks_x, unsigned blocks_y, unsigned blocks_z"
        call = f"launch({{blocks_x, blocks_y, blocks_z}}, of_a_block, [=] {{ {name}({names}); }});"
        lines.append(f'extern "C" void run_{name}({grid}, unsigned of_a_block, {parameters}) {{ {call} }}')
    source, library = folder / f"{dtype}.cpp", folder / f"{dtype}.so"
    source.write_text("\n".join(lines))
    wide = "double" if dtype == "float64" else "float"
    options = [f"-DNUMBER={NUMBERS[dtype]}", f"-DWIDE={wide}", "-std=c++17", "-O1", "-shared", "-fPIC"]
    subprocess.run(["g++", *options, "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


def run(
    libraries: dict[str, ctypes.CDLL], module: RawModule, name: str, grid: tuple[int, ...], block: Any, arguments: Any
) -> None:
    """Run a kernel in place of the stand-in's formula."""

    def passed(a: Any) -> Any:
        if isinstance(a, ndarray):
            return ctypes.c_void_p(a.data.ptr)
        return ctypes.c_longlong(a) if isinstance(a, int) else C_TYPES[a.dtype.name](a)

    getattr(libraries[module.dtype], f"run_{name}")(*grid, *[1] * (3 - len(grid)), *block, *map(passed, arguments))


@pytest.fixture(scope="module")
def xp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The stand-in for CuPy, whose kernels are the text of rows.cu."""
    if which("g++") is None:
        pytest.skip("there is no g++")
    libraries = {dtype: compiled(tmp_path_factory.mktemp("rows"), dtype) for dtype in NUMBERS}
    with standin_cupy() as cupy, patch.object(RawModule, "_run", lambda *a: run(libraries, *a)):
        yield cupy
