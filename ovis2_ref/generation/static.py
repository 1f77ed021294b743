"""A decoding step with the same commands for every token, which a GPU records once, as a CUDA graph, and replays.

A step is hundreds of short kernels, and it can take the CPU longer to launch them than the GPU to run them. A replay launches all
of them at once. The values that change from step to step lie on the device: the tokens, their positions, and their place in the
cache.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.checkpoint.loading import StreamedWeights
from ovis2_ref.errors import InputError
from ovis2_ref.language.cache import KVCache, StaticCache
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.gpu.cublas import reserve_workspace
from ovis2_ref.runtime.taps import anybody_listens, silence

LONG_ENOUGH = 16
"""New tokens from which on a recording pays: it takes as long as a few steps, and a replay a fraction of one."""


def worth_recording(model: Any, new_tokens: int) -> bool:
    """Return True if `model` should record its step where the caller hasn't said: on a GPU, for an answer that may be long.

    Not while a listener is open, since recorded steps pass no taps, nor where `StaticStep` raises.
    """
    return model.xp is not np and new_tokens >= LONG_ENOUGH and not anybody_listens() and _obstacle(model) is None


def _obstacle(model: Any) -> str | None:
    """Return why the steps of `model` can't all be alike; None if they can."""
    if "sliding_attention" in model.config.text_config.layer_types:
        return "can't follow sliding windows; leave it out"
    if model.xp is not np and isinstance(model.weights, StreamedWeights):
        return "can't record streamed weights; leave it out, or load without stream"
    return None


class Recorded(NamedTuple):
    """A step as a CUDA graph."""

    graph: Any
    logits: Float[Array, "rows 1 vocabulary"]
    """The array of its result."""
    memory: Any
    """The pool of its memory, and cuBLAS's workspace: kept, and used by nothing else."""


class StaticStep:
    """A forward pass of the model over one more token of every row."""

    def __init__(self, model: Any, cache: KVCache, mask: Int[Array, "rows capacity"] | None) -> None:
        """Continue after the tokens in `cache`, whose capacity is the final length; `mask` is 0 at padding.

        Raises `InputError` for a model with sliding windows, which move with every token, and on a GPU for weights that are
        streamed, which come from the host at every step.
        """
        xp = model.xp
        obstacle = _obstacle(model)
        if obstacle is not None:
            raise InputError(f'cache_implementation="static" {obstacle}')
        self._model, self._cache = model, StaticCache(cache)
        self._places = xp.arange(cache.capacity)[None, None, None]
        self._real = True if mask is None else (mask != 0)[:, None, None]
        self._ids, self._positions = (xp.zeros((cache.batch, 1), dtype=np.int64) for _ in range(2))
        self._recorded = None if xp is np else self._record(xp)

    def __call__(self, ids: Int[Array, "rows 1"], positions: Int[Array, "rows 1"]) -> Float[Array, "rows 1 vocabulary"]:
        """Return the logits after the tokens `ids` at `positions`, which the next call overwrites."""
        self._ids[...], self._positions[...] = ids, positions
        if self._recorded is None:
            return self._read()
        self._recorded.graph.launch()
        return self._recorded.logits

    def _read(self) -> Float[Array, "rows 1 vocabulary"]:
        """Compute the step; it reads no number from the host."""
        output = self._model(
            input_ids=self._ids,
            attention_mask=(self._places <= self._cache.next) & self._real,
            position_ids=self._positions,
            past_key_values=self._cache,
        )
        return output.logits

    def _record(self, cupy: Any) -> Recorded:
        """Return the step as a graph. Runs the step once before, to compile its kernels. Neither run reaches the taps."""
        stream, memory = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        place = self._cache.next.copy()
        cupy.cuda.Device().synchronize()
        with cupy.cuda.using_allocator(memory.malloc), stream, silence():
            self._read()
            self._cache.next[...] = place
            workspace = reserve_workspace(cupy)
            stream.begin_capture()
            try:
                logits = self._read()
            except BaseException:
                with suppress(Exception):  # show the error that ended the capture
                    stream.end_capture()
                raise
            graph = stream.end_capture()
            stream.synchronize()
        return Recorded(graph, logits, (memory, workspace))
