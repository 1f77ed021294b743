"""The stand-in's array: a NumPy array that allows only what a device array allows.

NumPy's functions, NumPy arrays beside it, implicit conversion and what `cupy.ndarray` lacks raise. What CuPy does by
copying between device and host (`get`, `bool`, an index that is a list, ...) works, and is written to the open log.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from tests.standin import table
from tests.standin.graph import changed, computed, refuse_while_capturing

TABLE = table.read()
METHODS = {name: table.signature(text) for name, text in TABLE["methods"].items()}
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SORTING = {"sort", "argsort", "partition", "argpartition", "searchsorted", "unique", "lexsort", "median", "percentile"}
"""CuPy sorts with Thrust, which has no bfloat16."""


class Crossing(NamedTuple):
    """One copy between host and device."""

    to: str
    how: str
    shape: tuple[int, ...]
    dtype: np.dtype


_log: ContextVar[list[Crossing] | None] = ContextVar("crossings", default=None)


@contextmanager
def crossings() -> Iterator[list[Crossing]]:
    """Collect every copy between host and device inside the block, in order."""
    log: list[Crossing] = []
    token = _log.set(log)
    try:
        yield log
    finally:
        _log.reset(token)


def crossed(to: str, how: str, host: np.ndarray) -> None:
    """Write a copy to the open log."""
    refuse_while_capturing(how)
    log = _log.get()
    if log is not None:
        log.append(Crossing(to, how, host.shape, host.dtype))


def unwrap(x: Any) -> Any:
    """The NumPy arrays inside device arrays, in nested tuples and lists too. A NumPy array raises, as in CuPy's functions."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}: a host array of shape {x.shape} among device arrays")
    if type(x) in (list, tuple):
        return type(x)(unwrap(item) for item in x)
    return x


def wrap(x: Any) -> Any:
    """Device arrays for NumPy's results. NumPy's scalars become 0-d arrays: a GPU's reduction stays on the GPU."""
    if isinstance(x, (np.ndarray, np.generic, bool)):
        return ndarray(np.asarray(x))
    if type(x) in (list, tuple):
        return type(x)(wrap(item) for item in x)
    return x


def checked_call(name: str, signature: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """`function`, NumPy's, on the arrays inside, if CuPy's signature takes these arguments."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}{signature} does not take these arguments: {error}") from None
    host_args, host_kwargs = unwrap(list(args)), {key: unwrap(value) for key, value in kwargs.items()}
    if name in SORTING and any(getattr(a, "dtype", None) == BFLOAT16 for a in host_args):
        raise TypeError(f"cupy.{name} has no bfloat16")
    if "sort" in name and kwargs.get("kind") not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    out = kwargs.get("out")
    with np.errstate(all="ignore"):
        if out is None:
            return wrap(computed(lambda: function(*host_args, **host_kwargs)))
        changed(lambda: function(*host_args, **host_kwargs))
    return out


def _cupys(function: Any) -> Any:
    """Return CuPy's function of the name of one of NumPy's."""
    if not hasattr(sys.modules["cupy"], function.__name__):
        raise TypeError(f"CuPy has no {function.__name__}")
    return getattr(sys.modules["cupy"], function.__name__)


class Device:
    """`cupy.cuda.Device`: by number, the current one without."""

    current = 0

    def __init__(self, index: int | None = None) -> None:
        self.id = Device.current if index is None else index
        self.compute_capability = "90"
        self.before: list[int] = []

    def use(self) -> None:
        Device.current = self.id

    def __enter__(self) -> "Device":
        self.before.append(Device.current)
        self.use()
        return self

    def __exit__(self, *error: Any) -> None:
        Device.current = self.before.pop()

    def synchronize(self) -> None:
        pass


class ndarray:  # noqa: N801
    """What `cupy.ndarray` allows, on a NumPy array."""

    __slots__ = ("_host", "device")
    __array_priority__ = 100

    def __init__(self, host: np.ndarray) -> None:
        self._host = host
        self.device = Device()
        """Where it was made: what is the current device then."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's ufunc of device arrays is CuPy's; a host array among them is refused."""
        if method != "__call__" or any(isinstance(x, np.ndarray) for x in (*inputs, *kwargs.get("out", ()))):
            return NotImplemented
        if "out" in kwargs:
            kwargs["out"] = kwargs["out"][0]
        return _cupys(ufunc)(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's function of device arrays is CuPy's; a host array among them is refused."""
        if not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return _cupys(function)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            method = getattr(self._host, name)
            return lambda *args, **kwargs: checked_call(name, METHODS[name], method, args, kwargs)
        if name in TABLE["attributes"] and name not in ("data", "cstruct"):
            value = getattr(self._host, name)
            return ndarray(value) if isinstance(value, np.ndarray) else value
        raise AttributeError(f"cupy.ndarray has no {name!r}")

    @property
    def data(self) -> SimpleNamespace:
        """Where it lies."""
        return SimpleNamespace(ptr=self._host.ctypes.data)

    def _to_host(self, how: str) -> np.ndarray:
        crossed("host", how, self._host)
        return self._host.copy()

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        host = self._to_host("get")
        if out is None:
            return host
        out[...] = host
        return out

    def item(self) -> Any:
        return self._to_host("item").item()

    def tolist(self) -> Any:
        return self._to_host("tolist").tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._to_host("tobytes").tobytes(order)

    def __bool__(self) -> bool:
        return bool(self._to_host("bool"))

    def __int__(self) -> int:
        return int(self._to_host("int"))

    def __float__(self) -> float:
        return float(self._to_host("float"))

    def __repr__(self) -> str:
        return f"device {self._host!r}"

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> "Iterator[ndarray]":
        if self._host.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def astype(
        self, dtype: Any, order: str = "K", casting: None = None, subok: None = None, copy: bool = True
    ) -> "ndarray":
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        with np.errstate(all="ignore"):
            return ndarray(computed(lambda: self._host.astype(dtype, order=order, copy=bool(copy))))

    def nonzero(self) -> "tuple[ndarray, ...]":
        found = np.atleast_1d(self._host).nonzero()
        crossed("host", "the number of nonzero elements", np.asarray(len(found[0])))
        return wrap(found)

    def view(self, dtype: Any = None, type: None = None) -> "ndarray":
        return ndarray(self._host.view() if dtype is None else self._host.view(dtype))

    def __copy__(self) -> "ndarray":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "ndarray":
        return self.copy()

    def __getitem__(self, key: Any) -> "ndarray":
        host_key = _host_key(key)
        return ndarray(computed(lambda: self._host[host_key]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, (ndarray, int, float, bool, np.generic)):
            raise TypeError(f"a device array can't be assigned a {type(value)}")
        host_key = _host_key(key)
        if isinstance(value, ndarray) and value.size > 1:
            _refuse_repeated(self._host.shape, host_key)
        host = unwrap(value)
        with np.errstate(all="ignore"):
            changed(lambda: self._host.__setitem__(host_key, host))


def _host_key(key: Any) -> Any:
    """Return a key of the array inside: numbers, slices, device arrays. A list is one upload, a mask one read of its count."""
    parts = list(key) if isinstance(key, tuple) else [key]
    masks = 0
    for i, part in enumerate(parts):
        if isinstance(part, list):
            crossed("device", "a list as an index", np.asarray(part))
        parts[i] = part = unwrap(part)
        if isinstance(part, np.ndarray) and part.dtype == bool:
            masks += 1
            crossed("host", "the number of set elements of a mask", np.asarray(part.sum()))
    if masks > 1:
        raise IndexError("more than one boolean array in an index is not supported")
    return tuple(parts) if isinstance(key, tuple) else parts[0]


def _refuse_repeated(shape: tuple[int, ...], key: Any) -> None:
    """What a GPU stores where an index names a place twice is undefined."""
    places = np.arange(np.prod(shape, dtype=int)).reshape(shape)[key]
    if np.unique(places).size != places.size:
        raise IndexError("an assignment names one place twice: what CuPy stores there is undefined")
