"""Where the tests of this folder run: on the GPU, if one is there, and always on the stand-in for CuPy, to test the tests."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from ovis2_ref.errors import DeviceError
from ovis2_ref.runtime.arrays import device_module
from tests.standin.module import standin_cupy


@pytest.fixture(scope="module", params=[pytest.param("cuda", marks=pytest.mark.gpu), "standin"])
def xp(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """CuPy with GPU 0, or the stand-in.

    Without a GPU the first is skipped, with what is missing as the reason; it fails where it was asked for (`-m gpu`).
    """
    if request.param == "standin":
        with standin_cupy() as cupy:
            yield cupy
        return
    try:
        cupy = device_module("cuda")
    except DeviceError as error:
        asked_for = "gpu" in request.config.option.markexpr.replace("not gpu", "")
        (pytest.fail if asked_for else pytest.skip)(str(error))
    yield cupy
