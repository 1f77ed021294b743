"""Say in what way a wrong value differs from the right one, where no known mistake explains it."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ovis2_ref.checkpoint.names import VISION
from ovis2_ref.golden.bands import not_finite
from ovis2_ref.golden.stages import TABLE, split_number
from ovis2_ref.runtime.arrays import Array

ALIKE = 0.02
"""Two arrays are the same, up to what else is wrong, if they differ by less than this share of what is to be explained."""
MOST_SLICES = 512
"""Slices of an axis of which another order is searched for."""
LISTED = 4
"""Numbers that are listed."""
LARGEST = {"float16": 65504.0, "float32": 3.4e38}


def axes_of(tap: str, ndim: int) -> tuple[str, ...]:
    """Return what the axes of a tap are, as plain words."""
    name = split_number(tap)[0]
    if name.startswith("image.") or name == "pixel_values":
        return ("tile", "channel", "row", "column")[-ndim:]
    visual = name.startswith((VISION, TABLE))
    if ndim == 4:
        keys = name.endswith((".scores", ".weights"))
        return ("tile" if visual else "batch", "head", *(("query", "key") if keys else ("token", "number of a head")))
    if ndim == 3:
        words = name.startswith((f"{VISION}.head", f"{VISION}.tokens", "lm_head"))
        merged = words or name.startswith((f"{VISION}.merged", TABLE))
        first = ("tile", "visual token" if merged else "patch") if visual else ("batch", "token")
        return (*first, "word" if words else "hidden number")
    return ("batch", "token")[:ndim] if ndim <= 2 else tuple(f"axis {i}" for i in range(ndim))


def plural(name: str) -> str:
    """Return the plural of an axis."""
    return {"patch": "patches", "query": "queries", "number of a head": "numbers of a head"}.get(name, f"{name}s")


def describe(tap: str, value: Array, truth: Array, others: Callable[[], Iterable[tuple[str, Array]]]) -> str:
    """Return in words how `value` differs from `truth`, both of one shape; "" where nothing simple is found.

    `others`: further taps of the run, whose values it may have been taken from.
    """
    wrong = not_finite(value, truth)
    if wrong.any():
        return _where_not_finite(tap, value, wrong)
    usual = np.isfinite(value) & np.isfinite(truth)
    x, y = (np.where(usual, array, 0).astype(np.float64) for array in (value, truth))
    largest = float(np.abs(y).max(initial=0))
    words = next(
        filter(None, (found for find in (_factor, _offset, _order, _equal) for found in find(tap, x, y, others))), ""
    ) or next(filter(None, _parts(tap, x, y)), "")
    for name, limit in LARGEST.items():
        if limit / 4 < largest < 4 * limit:
            words = _join(words, f"the right numbers come to {largest:.3g}, near the limit of {name}")
    return words


def _where_not_finite(tap: str, value: Array, wrong: Array) -> str:
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    kinds = {kind: int((test(value) & wrong).sum()) for kind, test in (("NaN", np.isnan), ("infinite", np.isinf))}
    counts = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    places = ", ".join(f"{axis} {i}" for axis, i in zip(axes_of(tap, value.ndim), first, strict=False))
    return f"not finite: {counts} of {value.size} numbers, the first at {places}"


def _same(x: Array, y: Array, scale: float) -> bool:
    """Return True if two arrays differ by little beside `scale`, the size of what is to be explained."""
    return float(np.linalg.norm(x - y)) <= ALIKE * scale


def _factor(tap: str, x: Array, y: Array, others: object) -> Iterator[str]:
    """One factor for all numbers, or for each slice of an axis."""
    deviation = float(np.linalg.norm(x - y))
    size = float((y * y).sum())
    if not size:
        return
    if not x.any():
        yield "all numbers are 0"
    factor = float((x * y).sum()) / size
    if _same(x, factor * y, deviation):
        yield f"a constant factor of {factor:.6g}"


def _offset(tap: str, x: Array, y: Array, others: object) -> Iterator[str]:
    """One number added, limits, or steps."""
    difference = x - y
    deviation = float(np.linalg.norm(difference))
    if _same(difference, np.full_like(x, difference.mean()), deviation):
        yield f"a constant offset of {difference.mean():.6g}"
    low, high = float(x.min()), float(x.max())
    if _same(x, np.clip(y, low, high), deviation):
        yield f"cut off at {low:.4g} and {high:.4g}"
    levels = np.unique(np.abs(x).ravel()[:: max(1, x.size // 4096)])
    if 2 < len(levels) < min(256, x.size // 8):
        step = float(np.diff(levels).min())
        if step and np.allclose(x / step, np.round(x / step), atol=1e-3) and np.abs(difference).max() < 1.01 * step:
            yield f"rounded to steps of {step:.4g}"


def _slices(x: Array, axis: int) -> Array:
    """Return the slices along an axis, each as a row."""
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _order(tap: str, x: Array, y: Array, others: object) -> Iterator[str]:
    """Return the slices of an axis in another order."""
    deviation = float(np.linalg.norm(x - y))
    for axis, name in enumerate(axes_of(tap, x.ndim)):
        count = x.shape[axis]
        a, b = _slices(x, axis), _slices(y, axis)
        for source in _orders(a, b, count):
            if (source != np.arange(count)).any() and _same(a, b[source], deviation):
                yield f"{plural(name)} in another order: {_order_words(source)}"


def _orders(a: Array, b: Array, count: int) -> Iterator[Array]:
    """Yield orders of slices that may be those of `a`: simple ones, then for each slice the nearest one."""
    places = np.arange(count)
    yield places[::-1]
    yield from (np.roll(places, shift) for shift in (1, -1))
    if 1 < count <= MOST_SLICES:
        distance = np.square(b).sum(1)[None] - 2 * (a @ b.T)
        yield distance.argmin(1)


def _order_words(source: Array) -> str:
    count = len(source)
    places = np.arange(count)
    if np.array_equal(source, places[::-1]):
        return "reversed"
    shift = int(-source[0] % count)
    if np.array_equal(source, np.roll(places, shift)):
        return f"shifted by {shift if shift <= count // 2 else shift - count}"
    moved = np.flatnonzero(source != places)
    pairs = ", ".join(f"{i} holds {int(source[i])}" for i in moved[:LISTED])
    return pairs + (f", ... ({len(moved)} of {count} moved)" if len(moved) > LISTED else "")


def _equal(tap: str, x: Array, y: Array, others: Callable[[], Iterable[tuple[str, Array]]]) -> Iterator[str]:
    """Return another tap's value."""
    deviation = float(np.linalg.norm(x - y))
    for name, array in others():
        if (
            name != tap
            and array.shape == x.shape
            and array.dtype.kind == "f"
            and _same(x, array.astype(np.float64), deviation)
        ):
            yield f"equal to {name}"


def _parts(tap: str, x: Array, y: Array) -> Iterator[str]:
    """Return which slices of an axis differ, and how: by a factor or an offset of their own."""
    names = axes_of(tap, x.ndim)
    energy = [np.square(_slices(x - y, axis)).sum(1) for axis in range(x.ndim)]
    clean = [part <= ALIKE**2 * part.max() for part in energy]
    found = [(where.mean(), axis) for axis, where in enumerate(clean) if where.any()]
    places = [
        _places(names[axis], np.flatnonzero(~clean[axis]), x.shape[axis]) for _, axis in sorted(found, reverse=True)
    ]
    for _, axis in found:
        x, y = (np.compress(~clean[axis], array, axis) for array in (x, y))
    how = next(_each_slice(names, x, y), "") or ("" if places else _scattered(x, y))
    yield _join(f"only {' of '.join(places)}" if places else "", how)


def _scattered(x: Array, y: Array) -> str:
    """Return how many numbers are 0, as after dropout."""
    kept = x != 0
    if not 0.5 < kept.mean() < 1 or not (y[kept] ** 2).sum():
        return ""
    factor = float((x * y).sum() / (y[kept] ** 2).sum())
    if not _same(x, np.where(kept, factor * y, 0), float(np.linalg.norm(x - y))):
        return ""
    return f"{1 - kept.mean():.1%} of the numbers are 0, scattered, the others have the factor {factor:.4g}"


def _each_slice(names: tuple[str, ...], x: Array, y: Array) -> Iterator[str]:
    """Return how the slices that differ do: all 0, another's, by a factor or an offset."""
    deviation = float(np.linalg.norm(x - y))
    if not x.any():
        yield "0 there"
    size = float((y * y).sum())
    if size and _same(x, (x * y).sum() / size * y, deviation):
        yield f"a constant factor of {float((x * y).sum() / size):.6g} there"
    for axis, name in enumerate(names):
        if x.shape[axis] == 1 or x.size == x.shape[axis]:
            continue
        a, b = _slices(x, axis), _slices(y, axis)
        squares = (b * b).sum(1, keepdims=True)
        factors = (a * b).sum(1, keepdims=True) / np.where(squares == 0, 1, squares)
        if _same(a, factors * b, deviation):
            yield f"a factor of its own for each {name}, from {factors.min():.4g} to {factors.max():.4g}"
        offsets = (a - b).mean(1, keepdims=True)
        if _same(a - b, np.broadcast_to(offsets, a.shape), deviation):
            yield f"an offset of its own for each {name}, as of a bias: from {offsets.min():.4g} to {offsets.max():.4g}"


def _places(name: str, wrong: Array, count: int) -> str:
    """Return the wrong ones of `count` places in words."""
    first, last = int(wrong[0]), int(wrong[-1])
    if len(wrong) == 1:
        return f"{name} {first} (of {count})"
    if last - first + 1 == len(wrong):
        until = f"from {first} on" if last == count - 1 else f"{first} to {last}"
        return f"{plural(name)} {until} (of {count})"
    step = wrong[1] - wrong[0]
    if (np.diff(wrong) == step).all():
        return (
            f"every {step}th {name} from {first} on (of {count})" if step > 2 else f"every second {name} (of {count})"
        )
    return f"{len(wrong)} {plural(name)} (of {count}): {', '.join(map(str, wrong[:LISTED].tolist()))}, ..."


def _join(*words: str) -> str:
    return ", ".join(filter(None, words))
