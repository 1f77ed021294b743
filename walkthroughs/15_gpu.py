# %% [markdown]
# # 15. The GPU: what changes, and what does not
#
# The same text computes on a GPU: CuPy has NumPy's functions, and every function here asks its array where it lives.
# This walkthrough runs on the CPU and says so; with an NVIDIA GPU, CuPy and `ovis2_ref[cuda13]` installed it runs
# there, too, and compares the two. The one file, `ovis2.py`, runs on NumPy alone. The code is in `ovis2_ref/runtime/`
# (`arrays.py`, `products.py`, `gpu/kernels.py`) and in `ovis2_ref/generation/static.py`.

# %%
import time

import numpy as np
from plots import bars
from show import SCENE, TINY, ask, check, keep, load

from ovis2_ref import Ovis2Config, Ovis2ForConditionalGeneration
from ovis2_ref.errors import DeviceError
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import array_module, to_host
from ovis2_ref.runtime.taps import listening
from ovis2_ref.tools.costs import operations, parameters

model, processor = load()
inputs = ask(processor, SCENE.render())

# %% [markdown]
# ## Is there a GPU?
# `device="cuda"` either gets one or says in a line what is missing. `device="auto"` takes one if it is there.

# %%
try:
    there = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda")
    print("computing on", there.xp.cuda.runtime.getDeviceProperties(0)["name"].decode())
except DeviceError as error:
    there = None
    print(f"computing on the CPU. {error}")

# %% [markdown]
# ## One text for both
# `xp = array_module(x)` is NumPy for an array on the host and CuPy for one on the device, and a formula uses only `xp`.
# What a formula may not do is mix the two, or ask for a number's value on the host: each would make the CPU wait.

# %%
x = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
print("array_module of a NumPy array:", array_module(x).__name__)
rows = softmax(x if there is None else there.xp.asarray(x))
check("softmax, wherever it ran", to_host(rows), np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))

# %% [markdown]
# ## What goes over, and how often
# Tiles and ids go to the device once, and an answer's ids come back, one small array a step. Everything between stays
# there: here is how much that is in one forward pass.

# %%
made: list[int] = []
with listening(lambda name, array: made.append(array.nbytes)):
    model(**inputs)
over = inputs["pixel_values"].nbytes + inputs["input_ids"].nbytes
print(f"{over / 2**10:.0f} KiB go in; {len(made)} tapped values of {sum(made) / 2**20:.1f} MiB are made and stay")
assert over < 0.05 * sum(made), "what crosses is a small part of what is computed"

# %% [markdown]
# ## Why decoding is slow: a weight is read for every token
# A product of a (t, H) array with (H, O) weights takes 2 t H O operations and reads H O weights. For a prompt of many
# tokens that is many operations for each byte, for one new token it is one operation a byte (in 16 bits). An H100 can
# do some 300 operations of bfloat16 in the time it takes to read a byte, so one new token leaves it idle nearly all of
# the time: it waits for memory.

# %%
config = Ovis2Config.preset("Ovis2-1B")
tiles = 7
prompt = tiles * config.vision_config.tokens_per_tile + 60
costs, sizes = operations(config, tiles, prompt), parameters(config)
weights = {
    "vision transformer": sizes["vision: patches, positions"] + sizes["vision: blocks"],
    "prefill": sizes["language: blocks"] + sizes["text embedding table"],
    "one more token": sizes["language: blocks"] + sizes["text embedding table"],
}
intensity = {
    f"{stage}, {costs[stage] / 1e9:,.1f} GFLOP": costs[stage] / (2 * count) for stage, count in weights.items()
}
token = costs["one more token"] / (2 * weights["one more token"])
assert 0.5 < token < 4, "one token does about one operation for each byte"
caption = f"Ovis2-1B, a picture of {tiles} tiles: how much is computed with each byte of weights (bfloat16)"
keep(bars(intensity, caption, "operations per byte (logarithmic)", digits=4, log=True), "15_intensity")

# %% [markdown]
# ## Fewer, larger commands
# Each command to a GPU takes the CPU some microseconds to give. Three things make them fewer: elementwise chains are
# one kernel (a norm, a softmax, a rotation: `runtime/gpu/kernels.py`, each with the plain formula beside it and a test that
# they agree); products of all heads of all rows are one call; and a decoding step that is the same commands each time
# is recorded once and replayed (`cache_implementation="static"`). The last works on the CPU, too, as the same step
# without a recording, and gives the same ids:

# %%
ids = {
    kind: model.generate(**inputs, max_new_tokens=20, cache_implementation=kind).tolist()
    for kind in ("dynamic", "static")
}
assert ids["dynamic"] == ids["static"], "both caches should give the same answer"
print("answer:", processor.decode(ids["static"][0][inputs["input_ids"].shape[1] :], skip_special_tokens=True))

# %% [markdown]
# ## What does change: the order of sums
# A GPU adds in another order than a CPU, so the last bits differ, as they do between two CPUs. How much can come of
# that? Here is the same sum of 4,096 products in three orders.

# %%
a, b = np.random.default_rng(1).standard_normal((2, 4096)).astype(np.float32)
products = a * b
exact = float((a.astype(float) * b.astype(float)).sum())
orders = {
    "one after the other": float(np.cumsum(products)[-1]),
    "pairs, pairs of pairs, ...": float(products.sum()),
    "32 sums side by side": float(np.sum(np.cumsum(products.reshape(-1, 32), axis=0)[-1])),
}
for name, value in orders.items():
    print(f"{name:28} {value:.7f}  off by {abs(value - exact) / np.abs(products).sum():.1e} of the sum of sizes")
bound = 4096 * np.finfo(np.float32).eps
assert all(abs(value - exact) <= bound * np.abs(products).sum() for value in orders.values()), (
    "more than n eps is no rounding"
)

# %% [markdown]
# TF32 is another matter: the tensor cores' own 19-bit numbers, with 10 bits of fraction in place of float32's 23. It is
# off here: float32 means float32. What it would do to a product is easy to try, by rounding the factors.

# %%


def to_tf32(x: np.ndarray) -> np.ndarray:
    """Round to 10 bits of fraction, halves to even."""
    bits = x.view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000).view(np.float32)


w = model.weights["model.language_model.layers.0.mlp.gate_proj.weight"]
v = np.random.default_rng(2).standard_normal((64, w.shape[1])).astype(np.float32)
truth = v.astype(float) @ w.T.astype(float)
made_in = {"float32": v @ w.T, "TF32": to_tf32(v) @ to_tf32(w).T}
error = {name: float(np.abs(y - truth).max() / np.abs(truth).max()) for name, y in made_in.items()}
print({name: f"{value:.1e}" for name, value in error.items()})
assert error["TF32"] > 30 * error["float32"], "ten bits of fraction are much coarser"

# %% [markdown]
# ## Measured
# Encoding the tiles and one forward pass on what there is. The tiny model is no measure of a GPU: its products are too
# small to fill one.

# %%
for name, one in {"cpu": model, "gpu": there}.items():
    if one is None:
        print("gpu: none here; tests with a GPU: pytest -m gpu, and python -m tests.benchmarks.bench_gpu")
        continue
    one(**inputs)
    start = time.perf_counter()
    logits = to_host(one(**inputs).logits)
    print(f"{name}: {1000 * (time.perf_counter() - start):.0f} ms for a forward pass")
    check(f"logits ({name})", logits, model(**inputs).logits, 1e-3)
