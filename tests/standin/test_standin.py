"""The stand-in against the CuPy that it stands for: its table against the installed CuPy's, and what it has to refuse."""

import ml_dtypes
import numpy as np
import pytest

from tests.standin import table
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


def test_table_signatures_are_read_as_they_were_written() -> None:
    for text in (*table.read()["functions"].values(), *table.read()["methods"].values()):
        assert table.signature_text(list(table.signature(text).parameters.values())) == text


HOST = np.arange(12, dtype=np.float32).reshape(3, 4)
REFUSED = {
    "a NumPy function": lambda xp, x: np.exp(x),
    "a NumPy reduction": lambda xp, x: np.mean(x),
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
    "a fraction into whole numbers": lambda xp, x: x.astype(int).__iadd__(0.5),
    "a result that does not fit": lambda xp, x: xp.add(x, x, out=x[:1]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    """What CuPy refuses, and what it would do by a silent copy, or differently from NumPy."""
    with standin_cupy() as cupy, pytest.raises((TypeError, AttributeError, IndexError, ValueError)):
        REFUSED[what](cupy, cupy.asarray(HOST))


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
