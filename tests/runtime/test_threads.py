"""Blocks on threads: the same bits on any number of threads, exceptions that reach the caller, taps put together."""

import threading
import time
from collections import UserDict
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from ovis2_ref.errors import InputError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.ops import attend, feed_forward
from ovis2_ref.runtime import blocks, parts, products, threads
from ovis2_ref.runtime.taps import listening, recording
from ovis2_ref.runtime.weights import Weights
from tests.bounds import FLOAT64
from tests.oracle import lifted, reference_model, to_numpy, weights_of
from tests.strategies import normal, seeds
from tests.test_model import as_torch, calls, expect_close

SMALL = {"IN_CACHE": 150, "IN_MEMORY": 300, "ROWS_OF_SCORES": 6, "SCORES": 30}
"""Blocks so small that drawn models have several of each kind."""


@pytest.fixture(autouse=True)
def number_of_threads():
    """Leave the number of threads as it was."""
    yield
    threads._chosen = None


@settings(max_examples=8)  # thousands of tasks each
@given(calls(), st.sampled_from(["float32", "bfloat16"]))
def test_the_number_of_threads_changes_no_bit(call, dtype: str) -> None:
    """Every tapped value of a forward pass, on one thread and on three."""
    config, seed, arguments = call
    weights = weights_of(reference_model(config, seed, dtype))
    model = Ovis2ForConditionalGeneration(config, weights)
    runs = []
    with patch.multiple(blocks, **SMALL), patch.multiple(products, SMALLEST_PIECE=200, ROWS=8, COLUMNS=4):
        for number in (1, 3):
            threads.set_num_threads(number)
            with recording() as values:
                model(**arguments)
            runs.append({name: (value.shape, value.tobytes()) for name, value in values.items()})
    assert list(runs[0]) == list(runs[1]), "the order of the taps"
    assert [name for name in runs[0] if runs[0][name] != runs[1][name]] == []


@given(
    seeds,
    st.integers(1, 3),
    st.sampled_from([(1, 1), (4, 2), (3, 1)]),
    st.integers(1, 20),
    st.integers(0, 30),
    st.data(),
)
def test_keys_that_no_query_of_a_block_sees_are_left_out(
    seed: int, batch: int, heads: tuple[int, int], queries: int, more: int, data: st.DataObject
) -> None:
    """Any mask, with holes, with queries that see nothing, with numbers to add: the formula on all keys, in float64 to 1e-12.

    With a listener, and without, where a block has one array of scores; and with the same mask on keys that are repeated for
    every head.
    """
    keys = queries + more
    q = normal(seed, batch, heads[0], queries, 4, dtype="float64")
    k, v = (normal(seed + i, batch, heads[1], keys, 4, dtype="float64") for i in (1, 2))
    density = data.draw(st.sampled_from([0.05, 0.5, 1.0]))
    sees = np.random.default_rng(seed).random((data.draw(st.sampled_from([1, batch])), 1, queries, keys)) < density
    sees &= np.arange(keys) <= np.arange(queries)[:, None] + more
    added = normal(seed + 3, queries, keys, dtype="float64") * data.draw(st.booleans())
    mask = np.where(sees, added, np.finfo(np.float64).min)
    w = Weights({}, "a")
    expected = attend.__wrapped__(q, k, v, mask, w)
    with patch.multiple(blocks, **SMALL), recording(lambda name: name == "a.context"):
        ours = attend(q, k, v, mask, w)
    with patch.multiple(blocks, **SMALL):
        unheard = attend(q, k, v, mask, w)
        repeated = attend(q, *(np.repeat(array, heads[0] // heads[1], axis=1) for array in (k, v)), mask, w)
    assert np.abs(repeated - expected).max() <= 1e-12 * np.abs(v).max()
    assert np.abs(ours - expected).max() <= 1e-12 * np.abs(v).max()
    assert np.abs(unheard - expected).max() <= 1e-12 * np.abs(v).max()


def test_a_mask_that_was_changed_is_read_again() -> None:
    """Attention has no memory of the masks that it was given."""
    q, k, v = (normal(i, 1, 4, 1024, 8) for i in range(3))
    sees = np.tri(1024, dtype=bool)
    mask = np.where(sees, 0, np.finfo(np.float32).min).astype(np.float32)[None, None]
    before = attend(q, k, v, mask, Weights({}, "a"))
    mask[...] = 0
    after = attend(q, k, v, mask, Weights({}, "a"))
    np.testing.assert_allclose(after, attend(q, k, v, None, Weights({}, "a")), rtol=0, atol=1e-5)
    assert np.abs(after - before).max() > 0.1


@given(st.integers(1, 3), st.sampled_from([(1, 2048, 512), (1, 768, 1024), (1, 512, 4096), (2, 700, 900)]), seeds)
def test_a_product_has_no_memory(number: int, shape: tuple[int, int, int], seed: int) -> None:
    """Its bits don't depend on the products before it."""
    n, k, m = shape
    a, b, row, rows = (normal(seed + i, *s) for i, s in enumerate([(n, k), (k, m), (1, k), (9, k)]))
    threads.set_num_threads(number)
    bits = set()
    for before in (row, rows, row):
        products.matmul(before, b)
        bits.add(products.matmul(a, b).tobytes())
    assert len(bits) == 1


@given(calls(), st.integers(2, 5))
def test_in_parts_and_blocks_the_model_is_transformers(call, number: int) -> None:
    """Layers of attention and feed-forward layers shared by several threads, without a listener, in float64."""
    config, seed, arguments = call
    reference = reference_model(config, seed, "float64")
    with lifted(), torch.no_grad():
        theirs = reference(**as_torch(arguments, "float64"))
    threads.set_num_threads(number)
    with patch.multiple(blocks, **SMALL), patch.object(parts, "SMALLEST_PART", 1):
        ours = Ovis2ForConditionalGeneration(config, weights_of(reference))(**arguments)
    real = arguments["attention_mask"].astype(bool)
    expect_close(ours.logits, to_numpy(theirs.logits), FLOAT64, "logits", real)
    if "pixel_values" in arguments:
        expect_close(ours.image_hidden_states, to_numpy(theirs.image_hidden_states), FLOAT64, "visual embeddings")


@pytest.mark.parametrize("rows", [3, 256])  # undivided, and in parts
def test_a_weight_that_is_read_on_demand_is_read_once(rows: int) -> None:
    class OnDemand(UserDict):
        def __getitem__(self, name: str) -> np.ndarray:
            reads.append(name)
            return super().__getitem__(name)

    reads: list[str] = []
    shapes = {"gate_proj": (1024, 512), "up_proj": (1024, 512), "down_proj": (512, 1024)}
    weights = OnDemand({f"mlp.{name}.weight": np.ones(shape, np.float32) for name, shape in shapes.items()})
    feed_forward(np.ones((rows, 512), np.float32), Weights(weights, "mlp"), "silu")
    assert sorted(reads) == sorted(weights)


def test_tasks_run_in_order_of_results_and_on_several_threads() -> None:
    threads.set_num_threads(3)
    meeting = threading.Barrier(3, timeout=20)

    def task(number: int) -> int:
        meeting.wait()  # returns only if three tasks run at once
        return number

    assert threads.run_tasks([lambda i=i: task(i) for i in range(6)]) == list(range(6))


def test_an_exception_reaches_the_caller_and_stops_the_rest() -> None:
    threads.set_num_threads(2)
    done = []

    def task(number: int) -> None:
        if number == 3:
            raise ValueError("task 3")
        time.sleep(0.01)
        done.append(number)

    with pytest.raises(ValueError, match="task 3"):
        threads.run_tasks([lambda i=i: task(i) for i in range(100)])
    assert len(done) < 20


def test_an_interrupt_inside_a_task_reaches_the_caller() -> None:
    """Ctrl-C hits the calling thread, in whatever task it works on."""
    threads.set_num_threads(2)
    caller = threading.current_thread()

    def task() -> None:
        time.sleep(0.001)
        if threading.current_thread() is caller:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run_tasks([task] * 1000)
    assert threads.run_tasks([lambda: 1, lambda: 2]) == [1, 2]


def test_tasks_of_tasks_run_on_one_thread() -> None:
    threads.set_num_threads(4)

    def outer() -> set[str]:
        inner = threads.run_tasks([lambda: threading.current_thread().name] * 8)
        return {threading.current_thread().name, *inner}

    assert all(len(names) == 1 for names in threads.run_tasks([outer] * 8))


def test_blas_has_one_thread_inside_and_as_many_as_before_after() -> None:
    def blas() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas()
    assert threads.run_tasks([blas, blas, blas]) == [[1] * len(before)] * 3
    with threads.blas_threads(1), threads.blas_threads(1):
        assert blas() == [1] * len(before)
    assert blas() == before


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2", None])
def test_a_number_of_threads_that_cannot_be_is_refused(number: object) -> None:
    with pytest.raises(InputError, match="set_num_threads takes a whole number above 0"):
        threads.set_num_threads(number)  # type: ignore[arg-type]


def test_listeners_nest() -> None:
    """An inner listener takes nothing from the outer ones."""
    w, outer, inner = Weights({}, "part"), [], []
    with listening(lambda name, value: outer.append(name)):
        w.tap("a", np.zeros(1))
        with listening(lambda name, value: inner.append(name), lambda name: name.endswith("b")):
            w.tap("a", np.zeros(1))
            w.tap("b", np.zeros(1))
    w.tap("b", np.zeros(1))
    assert outer == ["part.a", "part.a", "part.b"]
    assert inner == ["part.b"]
