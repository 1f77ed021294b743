"""The shortest time that a stage could take: what the machine can do at most, measured, and what the stage needs, counted."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from ovis2_ref import Ovis2Config
from ovis2_ref.tools.costs import cache_bytes_per_token, operations, parameters
from tests.benchmarks.turns import Run, in_turns

SIDE = 2048
"""Of the square matrices that are multiplied: 17 GFLOP."""
LONG = (2**15, 2**12)
"""Of the matrix that is read, in a product with a vector: 512 MiB, far more than the caches hold."""
FLOAT = 4
"""Bytes of a float32."""


class Rates(NamedTuple):
    """Operations in a second, and bytes in a second."""

    product: float
    read: float


class Machine:
    """Products by NumPy's BLAS, as plain as they can be: each thread multiplies its share of the rows, independently."""

    def __init__(self) -> None:
        """Draw the matrices. There are as many threads as NumPy's BLAS has (OPENBLAS_NUM_THREADS, or else the cores)."""
        self._blas = ThreadpoolController().select(user_api="blas")
        self.threads = max((library["num_threads"] for library in self._blas.info()), default=1)
        self._pool = ThreadPoolExecutor(self.threads)
        self._square = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
        self._long = np.ones(LONG, np.float32)

    def runs(self, threads: int) -> dict[str, Run]:
        """Return functions that run a product and a reading on so many threads."""
        vector = np.ones(LONG[1], np.float32)
        return {
            "product": lambda: self._multiply(self._square, self._square, threads),
            "read": lambda: self._multiply(self._long, vector, threads),
        }

    def rates(self, threads: int) -> Rates:
        """Return the best rates of some turns on so many threads."""
        return best_rates(in_turns(self.runs(threads), seconds=2.0))

    def _multiply(self, a: np.ndarray, b: np.ndarray, threads: int) -> list[Any]:
        with self._blas.limit(limits=1):
            return list(self._pool.map(lambda rows: rows @ b, np.array_split(a, threads)))


def best_rates(taken: dict[str, list[float]]) -> Rates:
    """Return the rates of the fastest of the timed products and readings."""
    return Rates(2 * SIDE**3 / min(taken["product"]), FLOAT * LONG[0] * LONG[1] / min(taken["read"]))


class Stage(NamedTuple):
    """What a stage needs at least, whatever the program: operations of matrix products, bytes of weights and of the cache."""

    operations: float
    read: float

    def seconds(self, rates: Rates) -> float:
        """Return the time at the machine's limit: computing, or reading where that takes longer."""
        return max(self.operations / rates.product, self.read / rates.read)


def vision_stage(tiles: int, config: Ovis2Config) -> Stage:
    """Tiles -> visual embeddings."""
    needed = operations(config, tiles, 0)
    weights = sum(count for part, count in parameters(config).items() if part.startswith("vis"))
    return Stage(
        sum(needed[name] for name in ("vision transformer", "visual tokens", "visual embeddings")), FLOAT * weights
    )


def prefill_stage(tokens: int, config: Ovis2Config) -> Stage:
    """Return the stage prompt -> the last token's logits. A token sees those before it and itself: half of the prompt, on
    average.
    """
    head = operations(config, 0, 0)["prefill"]
    average = operations(config, 0, tokens // 2)["one more token"] - head
    return Stage(tokens * average + head, _text_bytes(config))


def step_stage(context: int, batch: int, config: Ovis2Config) -> Stage:
    """Return the stage of one token in each of `batch` rows, after `context` others."""
    cache = batch * context * cache_bytes_per_token(config.text_config, FLOAT)
    return Stage(batch * operations(config, 0, context)["one more token"], _text_bytes(config) + cache)


def _text_bytes(config: Ovis2Config) -> float:
    counts = parameters(config)
    return FLOAT * (counts["language: blocks"] + (counts["output head"] or counts["text embedding table"]))
