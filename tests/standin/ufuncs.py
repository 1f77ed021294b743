"""The stand-in's elementwise functions: NumPy's arithmetic in the types that CuPy's loops have.

CuPy takes the first of a function's loops that the arguments can be cast to (cupy/_core/_kernel.pyx, `guess_routine`). Where it
has fewer loops than NumPy (`cupy.where` has none for bfloat16), the result's type differs, and the stand-in's with it.
"""

from typing import Any

import numpy as np

from tests.standin.array import BFLOAT16, TABLE, ndarray
from tests.standin.fusion import Placeholder, on_arrays
from tests.standin.graph import changed, computed

WEAK = {bool: 0, int: 1, float: 2, complex: 2}


def _dtype(char: str) -> np.dtype:
    return BFLOAT16 if char == "E" else np.dtype(char)


def _kind_score(dtype: np.dtype) -> int:
    """bool, whole, inexact, and, as CuPy ranks what it doesn't know, bfloat16."""
    return {"b": 0, "i": 1, "u": 1, "f": 2, "c": 2}.get(dtype.kind, 3)


class Ufunc:
    """One of CuPy's universal functions."""

    def __init__(self, name: str, loops: str) -> None:
        self.name = name
        self.loops = [tuple(tuple(map(_dtype, part)) for part in loop.split("->")) for loop in loops.split()]
        self.nin = len(self.loops[0][0])

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        if not self.nin <= len(args) <= self.nin + 1:
            raise TypeError(f"cupy.{self.name} takes {self.nin} arguments, not {len(args)}")
        inputs, out = args[: self.nin], args[self.nin] if len(args) > self.nin else out
        if any(isinstance(x, Placeholder) for x in (*inputs, out)):
            return on_arrays(self, *inputs, **({} if out is None else {"out": out}))
        for x in (*inputs, *(() if out is None else (out,))):
            if not isinstance(x, (ndarray, np.generic)) and type(x) not in WEAK:
                raise TypeError(f"cupy.{self.name}: Unsupported type {type(x)}")
        in_types, out_types = self._loop(inputs) if dtype is None else self._loop_to(np.dtype(dtype))
        function = getattr(np, self.name)

        def compute() -> Any:
            with np.errstate(all="ignore"):
                results = function(*(_cast(x, t) for x, t in zip(inputs, in_types, strict=True)))
                if len(out_types) > 1:
                    return results
                return np.asarray(results).astype(out_types[0], copy=False)

        if len(out_types) > 1:
            return tuple(ndarray(np.asarray(r, t)) for r, t in zip(compute(), out_types, strict=True))
        if out is None:
            return ndarray(computed(compute))
        dtype, shape = out_types[0], np.broadcast_shapes(*(getattr(x, "shape", ()) for x in inputs))
        if out.dtype.kind != dtype.kind and not np.can_cast(dtype, out.dtype, casting):
            raise TypeError(f"cupy.{self.name}: cannot cast {dtype} to {out.dtype} according to {casting!r}")
        if out.shape != shape:
            raise ValueError(f"cupy.{self.name}: out has the shape {out.shape}, the result {shape}")
        changed(lambda: np.copyto(out._host, compute(), casting="unsafe"))
        return out

    def _loop(self, inputs: tuple[Any, ...]) -> tuple[tuple[np.dtype, ...], tuple[np.dtype, ...]]:
        """Return the first loop that takes the inputs; Python's scalars are weak unless their kind is above every array's."""
        weak = [type(x) if type(x) in WEAK else None for x in inputs]
        types = [np.dtype(w) if w else x.dtype for x, w in zip(inputs, weak, strict=True)]
        arrays = [_kind_score(t) for t, w in zip(types, weak, strict=True) if not w]
        scalars = [WEAK[w] for w in weak if w]
        if not arrays or (scalars and max(scalars) > max(arrays)):
            weak = [None] * len(weak)
        for loop in self.loops:
            if all(_fits(t, w, to) for t, w, to in zip(types, weak, loop[0], strict=True)):
                return loop
        raise TypeError(f"cupy.{self.name} has no loop for {', '.join(map(str, types))}")

    def _loop_to(self, dtype: np.dtype) -> tuple[tuple[np.dtype, ...], tuple[np.dtype, ...]]:
        for loop in self.loops:
            if all(t == dtype for t in loop[1]):
                return loop
        raise TypeError(f"cupy.{self.name} has no loop that makes {dtype}")


def _fits(dtype: np.dtype, weak: type | None, to: np.dtype) -> bool:
    if np.can_cast(dtype, to):
        return True
    return weak is not None and np.result_type(weak(0), to) == to


def _cast(x: Any, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return (x._host if isinstance(x, ndarray) else np.asarray(x)).astype(dtype, copy=False)


def matmul(a: Any, b: Any, out: Any = None) -> ndarray:
    """CuPy's product: float32 accumulation of 16-bit types; stacks of matrices can't be bfloat16, as in CuPy 14."""
    for x in (a, b, *(() if out is None else (out,))):
        if not isinstance(x, ndarray):
            raise TypeError(f"cupy.matmul: Unsupported type {type(x)}")
    dtype = np.promote_types(a.dtype, b.dtype)
    if dtype == BFLOAT16 and max(a.ndim, b.ndim) > 2:
        raise TypeError("data type 'E' not understood: CuPy 14 has no stacked product in bfloat16")
    wide = np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else dtype
    with np.errstate(all="ignore"):
        host = (a._host.astype(wide, copy=False) @ b._host.astype(wide, copy=False)).astype(dtype, copy=False)
    if out is None:
        return ndarray(np.asarray(host))
    if out.dtype != dtype or out.shape != host.shape:
        raise ValueError(f"cupy.matmul: out is {out.dtype} {out.shape}, the product {dtype} {host.shape}")
    out._host[...] = host
    return out


UFUNCS = {name: Ufunc(name, loops) for name, loops in TABLE["ufuncs"].items() if hasattr(np, name)}
OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def give_operators(cls: type, unary: dict[str, str]) -> None:
    """`+`, `+=`, `<`, `-x`, ... of arrays or placeholders, by CuPy's functions."""

    def binary(ufunc: Any) -> Any:
        return lambda x, y: ufunc(x, y)

    def reflected(ufunc: Any) -> Any:
        return lambda x, y: ufunc(y, x)

    def in_place(ufunc: Any) -> Any:
        return lambda x, y: ufunc(x, y, out=x)

    for operator, name in OPERATORS.items():
        setattr(cls, f"__{operator}__", binary(UFUNCS[name]))
        setattr(cls, f"__r{operator}__", reflected(UFUNCS[name]))
        setattr(cls, f"__i{operator}__", in_place(UFUNCS[name]))
    for operator, name in COMPARISONS.items():
        setattr(cls, f"__{operator}__", binary(UFUNCS[name]))
    for operator, name in unary.items():
        setattr(cls, f"__{operator}__", lambda x, ufunc=UFUNCS[name]: ufunc(x))


give_operators(ndarray, UNARY)
give_operators(Placeholder, {"neg": "negative", "invert": "invert"})
ndarray.__matmul__ = ndarray.__rmatmul__ = matmul  # type: ignore[attr-defined]
ndarray.__hash__ = None  # type: ignore[assignment]
