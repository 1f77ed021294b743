"""Where arrays live: names of devices, what an error says is missing, and the two crossings, on the stand-in for CuPy."""

import sys

import ml_dtypes
import numpy as np
import pytest

from ovis2_ref.errors import DeviceError, InputError
from ovis2_ref.runtime.arrays import DTYPES, array_module, device_module, to_device, to_host
from tests.standin.module import crossings, standin_cupy

MACHINES = {
    "no driver": ({"driver": 0}, "cuda", r"there is no NVIDIA driver.*nvidia-smi"),
    "an old driver": ({"driver": 12040}, "cuda", r"driver is for CUDA 12.*pip uninstall -y cupy-cuda13x.*\[cuda12\]"),
    "no GPU": ({"devices": 0}, "cuda", r"shows no GPU.*cudaErrorNoDevice.*CUDA_VISIBLE_DEVICES"),
    "one GPU": ({"devices": 1}, "cuda:1", r"there is 1 GPU, numbered from 0"),
    "three GPUs": ({"devices": 3}, "cuda:3", r"there are 3 GPUs, numbered from 0"),
    "no CUDA libraries": ({"libraries": False}, "cuda", r"libnvrtc.*pip install -e '\.\[cuda13\]'$"),
}


@pytest.mark.parametrize("case", MACHINES)
def test_says_what_is_missing(case: str) -> None:
    """Without a GPU that works, one line says what is missing and how to get it; "auto" takes the CPU."""
    machine, device, message = MACHINES[case]
    with standin_cupy(**machine):
        with pytest.raises(DeviceError, match=message) as refusal:
            device_module(device)
        assert "\n" not in str(refusal.value)
        if device == "cuda":
            assert device_module("auto") is np


def test_says_that_cupy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"CuPy is not installed.*pip install -e '\.\[cuda13\]'.*\[cuda12\]"):
        device_module("cuda")
    assert device_module("auto") is np
    assert device_module("cpu") is np
    assert array_module(np.zeros(3)) is np


def test_takes_the_gpu_that_was_asked_for() -> None:
    with standin_cupy(devices=2) as cupy:
        assert device_module("cuda:1") is cupy
        assert cupy.cuda.Device().id == 1
        assert device_module("cuda") is cupy
        assert cupy.cuda.Device().id == 0
        assert device_module("auto") is cupy


@pytest.mark.parametrize(
    "device", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:²", "cpu:0", "cpu:", "auto:1", "CUDA"]
)
def test_refuses_other_names(device: str) -> None:
    with standin_cupy(), pytest.raises(InputError, match='use "cpu", "cuda", "cuda:N" or "auto"'):
        device_module(device)


@pytest.mark.parametrize("dtype", [*DTYPES.values(), np.dtype(np.int64), np.dtype(np.uint8)])
def test_crossings_keep_every_bit(dtype: np.dtype) -> None:
    host = np.random.default_rng(0).integers(0, 200, (3, 5)).astype(dtype)
    with standin_cupy() as cupy, crossings() as log:
        there = to_device(host, cupy)
        assert array_module(there) is cupy
        assert to_device(there, cupy).dtype == there.dtype == dtype
        assert len(log) == 1
        for back in (to_host(there), to_device(there, np)):
            assert type(back) is np.ndarray
            assert back.dtype == dtype
            assert back.tobytes() == host.tobytes()
        assert len(log) == 3


def test_the_host_needs_no_crossing() -> None:
    host = np.ones(3, ml_dtypes.bfloat16)
    assert to_host(host) is host
    assert to_device(host, np) is host
    assert to_device([[1, 2]], np).tolist() == [[1, 2]]
