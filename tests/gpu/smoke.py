"""The first minute on a GPU: a few checks, each by itself, one line each. None stops the next.

    python -m tests.gpu.smoke [--tiny]    # --tiny: small products, for a dry run

If the first line is a `DeviceError`, no later number means anything.
"""

import argparse
import time
import traceback
from collections.abc import Callable
from types import ModuleType

import numpy as np

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.ops import attend
from ovis2_ref.runtime.arrays import DTYPES, Array, device_module, to_host
from ovis2_ref.runtime.gpu.cublas import reserve_workspace
from ovis2_ref.runtime.gpu.fused_attention import attend_in_one
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny import SAMPLE

BF16 = DTYPES["bfloat16"]
SIZES = {False: ((1, 8, 1024), (896, 4864), 300), True: ((1, 8), (64, 128), 20)}
"""Rows of a product, its inner and outer width, and tokens of attention; the second for a dry run."""


def drawn(xp: ModuleType, *shape: int) -> Array:
    """Return normal numbers in bfloat16."""
    return xp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape).astype(BF16))


def one_rounding(xp: ModuleType, tiny: bool) -> str:
    """Share of outputs that aren't the float64 product rounded once.

    Sums in another order move some per cent of them, sums in 16 bits tens of per cent.
    """
    said = []
    all_rows, (m, k), _ = SIZES[tiny]
    for rows in all_rows:
        x, w = drawn(xp, rows, k), drawn(xp, m, k)
        exact = to_host(matmul(x.astype(np.float64), w.astype(np.float64).T)).astype(BF16)
        said.append(f"{rows} rows: {(to_host(matmul(x, w.T)) != exact).mean():.4f}")
    return ", ".join(said)


def captured_product(xp: ModuleType, tiny: bool) -> str:
    """A product in a CUDA graph, replayed three times, gives the same bits."""
    m, k = SIZES[tiny][1]
    x, w, b = drawn(xp, 1, k), drawn(xp, m, k), drawn(xp, m)
    expected = to_host(matmul(x, w.T, b))
    stream, pool = xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
    xp.cuda.Device().synchronize()
    with xp.cuda.using_allocator(pool.malloc), stream:
        matmul(x, w.T, b)
        workspace = reserve_workspace(xp)
        stream.begin_capture()
        y = matmul(x, w.T, b)
        graph = stream.end_capture()
        stream.synchronize()
    for _ in range(3):
        graph.launch()
        assert (to_host(y) == expected).all()
    nodes = graph.debug_dot_str()
    return f"{nodes.count('label=')} nodes, {nodes.count('MEM_ALLOC')} allocations, workspace {workspace.size}"


def tiny_answers(xp: ModuleType, tiny: bool) -> str:
    """The tiny model's answer in four types, step by step and recorded, beside the CPU's in float64."""
    from PIL import Image

    processor = Ovis2Processor.from_pretrained(TINY)
    content = [{"type": "image"}, {"type": "text", "text": "Describe the image."}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=[Image.open(SAMPLE)], text=text, return_tensors="np")
    options = {"max_new_tokens": 16, "do_sample": False}
    here = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype="float64").generate(**inputs, **options)
    said = []
    for dtype in DTYPES:
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype=dtype, device="cuda")
        caches = ("dynamic", "static")
        a, b = (to_host(model.generate(**inputs, **options, cache_implementation=name)) for name in caches)
        recorded = "equal" if np.array_equal(a, b) else "DIFFERENT"
        said.append(f"{dtype}: recorded {recorded}, CPU's {'equal' if np.array_equal(a, here) else 'different'}")
    return "; ".join(said)


def fused_attention(xp: ModuleType, tiny: bool) -> str:
    """The attention kernel beside the plain formula in float64: largest error over the largest value, expected below 5e-3."""
    said, tokens = [], SIZES[tiny][2]
    for d in (16, 64, 80, 128):
        q, k, v = drawn(xp, 1, 4, tokens, d), drawn(xp, 1, 2, tokens, d), drawn(xp, 1, 2, tokens, d)
        mask = xp.where(xp.tri(tokens, dtype=bool), 0, float(np.finfo(np.float32).min)).astype(BF16)[None, None]
        exact = to_host(attend(*(x.astype(np.float64) for x in (q, k, v)), mask.astype(np.float64), Weights({})))
        got = to_host(attend_in_one(q, k, v, mask)).astype(np.float64)
        said.append(f"width {d}: {np.abs(got - exact).max() / np.abs(exact).max():.1e}")
    return ", ".join(said)


CHECKS: tuple[Callable[[ModuleType, bool], str], ...] = (one_rounding, captured_product, tiny_answers, fused_attention)


def main(argv: list[str] | None = None) -> int:
    """Run the checks and return how many of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a dry run: small products")
    tiny = parser.parse_args(argv).tiny
    xp = device_module("cuda")  # raises where anything is missing
    print(
        "CuPy",
        xp.__version__,
        "CUDA",
        xp.cuda.runtime.runtimeGetVersion(),
        "driver",
        xp.cuda.runtime.driverGetVersion(),
    )
    failed = 0
    for check in CHECKS:
        start = time.perf_counter()
        try:
            said = check(xp, tiny)
        except Exception:
            failed += 1
            said = "FAILED\n" + traceback.format_exc(limit=-5)
        print(f"{check.__name__:20} {time.perf_counter() - start:6.1f} s  {said}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
