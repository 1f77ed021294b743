"""The stand-in against the CuPy that it replaces: its table against the installed CuPy's, and what it has to refuse."""

import inspect

import ml_dtypes
import numpy as np
import pytest

from tests.standin import blas, table
from tests.standin.graph import streams
from tests.standin.module import crossings, standin_cupy


def test_table_is_that_of_the_installed_cupy() -> None:
    """Every public name, signature and loop of the committed table is CuPy's (wherever CuPy is, with or without a GPU)."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    committed = table.read()
    if cupy.__version__.split(".")[:2] != committed["cupy"].split(".")[:2]:
        pytest.skip(f"the table is of CuPy {committed['cupy']}, installed is {cupy.__version__}")
    installed = table.of_installed_cupy()
    for part in ("functions", "methods", "ufuncs", "constants", "attributes"):
        assert committed[part] == installed[part]


def test_streams_and_products_are_cupys() -> None:
    """The names under `cupy.cuda` that the stand-in has are there, and cuBLAS's function takes the same arguments."""
    cuda = pytest.importorskip("cupy.cuda", reason="CuPy is not installed")
    for name in streams():
        assert hasattr(cuda, name)
    for name in ("begin_capture", "end_capture", "is_capturing", "synchronize"):
        assert hasattr(cuda.Stream, name)
    for name, number in blas.TYPES.items():
        assert getattr(cuda.runtime, name) == number
    try:
        cublas = cuda.cublas
    except ImportError as error:
        pytest.skip(f"CUDA's libraries are not installed: {error}")
    for name, value in vars(blas.cublas()).items():
        if not callable(value):
            assert getattr(cublas, name) == value
    theirs = table.documented_signature(cublas.gemmStridedBatchedEx)
    assert len(theirs.split(", ")) == len(inspect.signature(blas.gemm_strided_batched_ex).parameters)


def test_table_signatures_are_read_as_they_were_written() -> None:
    for text in (*table.read()["functions"].values(), *table.read()["methods"].values()):
        assert table.signature_text(list(table.signature(text).parameters.values())) == text


HOST = np.arange(12, dtype=np.float32).reshape(3, 4)
REFUSED = {
    "a NumPy function of both": lambda xp, x: np.maximum(x, HOST),
    "a NumPy function that joins both": lambda xp, x: np.concatenate([x, HOST]),
    "a NumPy function that writes to the host": lambda xp, x: np.exp(x, out=HOST.copy()),
    "a NumPy function that CuPy lacks": lambda xp, x: np.spacing(x),
    "a NumPy array on the right": lambda xp, x: x + HOST,
    "a NumPy array on the left": lambda xp, x: HOST + x,
    "a NumPy array in place": lambda xp, x: x.__iadd__(HOST),
    "a NumPy array under a product": lambda xp, x: x @ HOST.T,
    "a NumPy array as an index": lambda xp, x: x[np.array([0])],
    "a NumPy array as a value": lambda xp, x: x.__setitem__(0, HOST[0]),
    "a NumPy array among arguments": lambda xp, x: xp.concatenate([x, HOST]),
    "a NumPy array in a condition": lambda xp, x: xp.where(HOST > 1, x, x),
    "a device array in a host array": lambda xp, x: HOST.__setitem__(0, x[0]),
    "implicit conversion": lambda xp, x: np.asarray(x),
    "a function that CuPy lacks": lambda xp, x: xp.errstate(all="ignore"),
    "a method that CuPy lacks": lambda xp, x: x.searchsorted_by(1),
    "a part of CuPy without a table": lambda xp, x: xp.linalg.norm(x),
    "an argument that CuPy lacks": lambda xp, x: x.sum(where=x > 0),
    "an argument of sorting that CuPy lacks": lambda xp, x: xp.argsort(x, stable=True),
    "an unstable sort": lambda xp, x: xp.argsort(x, kind="quicksort"),
    "a masked elementwise function": lambda xp, x: xp.exp(x, where=x > 0),
    "a list under an elementwise function": lambda xp, x: xp.maximum(x, [1, 2, 3, 4]),
    "a device array as a host number": lambda xp, x: range(x[0, 0].astype(int)),
    "a device array as a length": lambda xp, x: xp.arange(x.sum()),
    "an assignment that names a place twice": lambda xp, x: x.__setitem__(xp.asarray([0, 0]), x[:2]),
    "a stacked product in bfloat16": lambda xp, x: x[None].astype(ml_dtypes.bfloat16) @ x.T.astype(ml_dtypes.bfloat16),
    "sorting bfloat16": lambda xp, x: xp.sort(x.astype(ml_dtypes.bfloat16)),
    "a sum inside a fused function": lambda xp, x: xp.fuse(lambda y: y.sum())(x),
    "a shape inside a fused function": lambda xp, x: xp.fuse(lambda y: y * y.shape[0])(x),
    "rounding to bfloat16 inside a fused function": lambda xp, x: xp.fuse(lambda y: y.astype(ml_dtypes.bfloat16))(x),
    "a host array in a fused function": lambda xp, x: xp.fuse(lambda y, z: y + z)(x, HOST),
    "a device array from outside in a fused function": lambda xp, x: xp.fuse(lambda y: y + x)(x),
    "NumPy's function in a fused function": lambda xp, x: xp.fuse(np.exp)(x),
    "a fraction into whole numbers": lambda xp, x: x.astype(int).__iadd__(0.5),
    "a result that does not fit": lambda xp, x: xp.add(x, x, out=x[:1]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    """What CuPy refuses, and what it would do by a silent copy, or differently from NumPy."""
    with standin_cupy() as cupy, pytest.raises((TypeError, AttributeError, LookupError, ValueError)):
        REFUSED[what](cupy, cupy.asarray(HOST))


def test_numpys_functions_of_device_arrays_are_cupys() -> None:
    """By NumPy's protocols, as in CuPy: results lie on the device, and nothing is copied."""
    with standin_cupy() as cupy:
        x = cupy.asarray(HOST)
        with crossings() as log:
            results = (
                np.exp(x),
                np.mean(x),
                np.concatenate([x, x]),
                np.zeros((2, 3), np.float32, like=x),
                np.where(x > 1, x, 0),
            )
        assert log == []
        expected = (
            np.exp(HOST),
            np.mean(HOST),
            np.concatenate([HOST, HOST]),
            np.zeros((2, 3)),
            np.where(HOST > 1, HOST, 0),
        )
        for ours, host in zip(results, expected, strict=True):
            assert isinstance(ours, cupy.ndarray)
            assert np.array_equal(ours.get(), host)


def test_types_of_results_are_those_of_cupys_loops() -> None:
    """Where CuPy's types differ from what one might expect; the loops are in the table."""
    with standin_cupy() as cupy:
        x = cupy.asarray(HOST)
        half, bf16 = x.astype(np.float16), x.astype(ml_dtypes.bfloat16)
        assert (half * 0.5).dtype == np.float16
        assert (half * np.float32(0.5)).dtype == np.float32
        assert (bf16 + bf16).dtype == bf16.dtype
        assert (bf16 * 2).dtype == bf16.dtype
        assert (bf16 * 0.5).dtype == np.float32
        assert cupy.where(bf16 > 0, bf16, bf16).dtype == np.float32
        assert isinstance(x.sum(), cupy.ndarray)
        assert x.sum().shape == ()


def test_graphs_replay_in_place() -> None:
    """Capture does nothing to what is there; every launch does it once more, from what is there then."""
    with standin_cupy() as cupy:
        x, total = cupy.asarray(HOST), cupy.zeros(3, dtype=np.float32)
        with cupy.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            y = (x * 2).astype(np.float64)
            total += y[:, 1:].sum(axis=1)
            x[...] = x + 1
            with pytest.raises(RuntimeError, match="capturing"):
                x.get()
            with pytest.raises(RuntimeError, match="capturing"):
                cupy.asarray(HOST)
            graph = stream.end_capture()
        assert not total.get().any()
        expected = np.zeros(3)
        for step in range(3):
            graph.launch()
            expected += 2 * (HOST + step)[:, 1:].sum(axis=1)
            np.testing.assert_array_equal(total.get(), expected)
            np.testing.assert_array_equal(y.get(), 2 * (HOST + step))


def test_products_read_memory_as_cublas_does() -> None:
    """By columns: c^T = b^T a^T is a product of matrices by rows; what cuBLAS refuses is refused."""
    a, b, c = (np.random.default_rng(0).standard_normal(shape) for shape in ((3, 2, 4), (3, 4, 5), (3, 2, 5)))
    one = np.ones(1)
    arguments = [1, 0, 0, 5, 2, 4, one.ctypes.data, b.ctypes.data, 1, 5, 20, a.ctypes.data, 1, 4, 8, one.ctypes.data]
    expected = a @ b + c
    blas.gemm_strided_batched_ex(*arguments, c.ctypes.data, 1, 5, 10, 3, 70, -1)
    np.testing.assert_allclose(c, expected, rtol=1e-14, atol=1e-15)
    with pytest.raises(ValueError, match="INVALID"):
        blas.gemm_strided_batched_ex(*arguments, c.ctypes.data, 1, 4, 10, 3, 70, -1)
    with pytest.raises(ValueError, match="SUPPORTED"):
        blas.gemm_strided_batched_ex(*arguments, c.ctypes.data, 0, 5, 10, 3, 70, -1)


def test_crossings_are_counted() -> None:
    with standin_cupy() as cupy, crossings() as log:
        x = cupy.asarray(HOST)
        (x * 2 + 1).sum()
        assert [c.how for c in log] == ["asarray"]
        bool(x.sum() > 0)
        x[x > 1]
        x.nonzero()
        x[[0, 1]]
        x.get()
    assert [c.to for c in log] == ["device", "host", "host", "host", "device", "host"]
