# %% [markdown]
# # 12. Precision: float32, float16, bfloat16
#
# The same weights in four types of numbers. How far are the results from the truth, where does the error come from, and
# does the answer change? The rules of rounding are in `ovis2_ref/ops.py`, the types in `ovis2_ref/runtime/arrays.py`. The
# one file, `ovis2.py`, computes in float32 only; its `read_weights` widens bfloat16.

# %%
import ml_dtypes
import numpy as np
from plots import curves
from show import SCENE, answer, ask, keep, load

from ovis2_ref import recording
from ovis2_ref.ops import rms_norm
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.questions import listed
from ovis2_ref.tiny.training.scenes import draw_scene

processor = load()[1]
inputs = ask(processor, SCENE.render())

# %% [markdown]
# ## What a type can hold
# A number is sign, exponent and fraction. `eps` is the step from 1 to the next number: float16 has the finer steps,
# bfloat16 the exponents of float32, and so its range.

# %%
for name, dtype in DTYPES.items():
    limits = ml_dtypes.finfo(dtype)
    print(f"{name:9} {dtype.itemsize} bytes, eps {float(limits.eps):.1e}, largest number {float(limits.max):.1e}")


# %% [markdown]
# ## Rounding to bfloat16
# bfloat16 is float32 with the lower 16 bits cut off, rounded to nearest, halves to even. With integers: add
# 0x7FFF and the lowest kept bit, then drop 16 bits.


# %%
def to_bfloat16(x: np.ndarray) -> np.ndarray:
    bits = x.astype(np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded & 0xFFFF0000).view(np.float32)


numbers = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
expected = numbers.astype(ml_dtypes.bfloat16).astype(np.float32)
assert np.array_equal(to_bfloat16(numbers), expected), "another rounding than ml_dtypes'"
print("1, 1 + 1/256 and 1 + 3/256 in bfloat16:", to_bfloat16(np.array([1, 1 + 1 / 256, 1 + 3 / 256])))

# %% [markdown]
# ## Where is rounded
# Sums are carried in float32 and rounded once; everything that one operation hands to the next is rounded. RMSNorm
# rounds twice: before the weight and after it. Here is that rule as a formula.

# %%
dtype = DTYPES["bfloat16"]
x = numbers[:256].reshape(2, 128).astype(dtype)
weight = numbers[256:384].astype(dtype)
wide = x.astype(np.float32)
normed = to_bfloat16(wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-6))
normed = to_bfloat16(normed * weight.astype(np.float32))
ours = rms_norm(x, Weights({"weight": weight}), 1e-6).astype(np.float32)
assert np.abs(ours - normed).max() <= 2**-8 * np.abs(normed).max(), "rms_norm rounds in other places"
print(f"{(ours == normed).mean():.1%} of the numbers are equal to the bit")

# %% [markdown]
# ## Does adding in 16 bits matter?
# Sum 1,000 times 0.01 with the running sum kept in bfloat16: it stops growing as soon as 0.01 is less than half a step.

# %%
total = np.float32(0)
for _ in range(1000):
    total = to_bfloat16(total + np.float32(0.01))
print(f"in bfloat16 1,000 times 0.01 is {float(total)}; in float32 {np.full(1000, 0.01, np.float32).sum():.4f}")
assert float(total) < 5, "the sum in bfloat16 should have stuck"

# %% [markdown]
# ## How the error grows, layer by layer
# float64 is the truth. The error of a stage: root mean square of the difference, over that of the values.

# %%
stages = ["model.vision_tower.transformer.embeddings.output"]
stages += [f"model.vision_tower.transformer.encoder.layers.{i}.output" for i in range(4)]
stages += ["model.vision_tower.tokens", "model.language_model.inputs_embeds"]
stages += [f"model.language_model.layers.{i}.output" for i in range(4)] + ["lm_head.output"]
runs = {}
for name in DTYPES:
    with recording(stages.__contains__) as values:
        load(dtype=name)[0](**inputs)
    runs[name] = [values[stage].astype(np.float64) for stage in stages]
errors = {}
for name in ("float32", "float16", "bfloat16"):
    pairs = zip(runs[name], runs["float64"], strict=True)
    errors[name] = [float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean())) for a, b in pairs]
print(f"{'stage':52}" + "".join(f"{name:>10}" for name in errors))
for i, stage in enumerate(stages):
    print(f"{stage:52}" + "".join(f"{errors[name][i]:10.1e}" for name in errors))
for name, error in errors.items():
    eps = float(ml_dtypes.finfo(DTYPES[name]).eps)
    assert error[-1] < 100 * eps, f"{name}: the logits are off by more than rounding explains"
    print(f"{name}: the logits are off by {error[-1] / eps:.1f} eps")
print(f"bfloat16's logits are off by {errors['bfloat16'][-1] / errors['float16'][-1]:.0f} times as much as float16's")
series = {name: (np.arange(len(stages)), error) for name, error in errors.items()}
short = [
    "patches",
    *(f"block {i}" for i in range(4)),
    "visual tokens",
    "embeddings",
    *(f"layer {i}" for i in range(4)),
    "logits",
]
caption = "Error of each stage, compared with float64"
keep(curves(series, caption, "stage", "relative error (RMS)", log=True, names=short), "12_errors")

# %% [markdown]
# What to notice: the order of the types is that of their eps, at every stage. In units of their own eps the curves differ:
# float32 loses several times more eps than the 16-bit types (see the lines above), since they carry their sums in
# float32 and round only results, while float32 also rounds inside its sums. float16 is more exact than bfloat16, as
# long as no value leaves its range.

# %% [markdown]
# ## Does the answer change?
# Answers to 12 scenes in each type. (The pixel values and the weights are rounded, too.)

# %%
scenes = [draw_scene(seed) for seed in range(500, 512)]
asked = [ask(processor, scene.render()) for scene in scenes]
answers = {}
for name in ("float64", "float32", "float16", "bfloat16"):
    model = load(dtype=name)[0]
    answers[name] = [answer(model, processor, one) for one in asked]
for name, said in answers.items():
    right = sum(text == listed(scene.shapes) for text, scene in zip(said, scenes, strict=True))
    same = sum(a == b for a, b in zip(said, answers["float64"], strict=True))
    print(f"{name:9} {right} of {len(scenes)} right, {same} the same as in float64")
assert answers["float32"] == answers["float64"], "float32 should be exact enough for the answers"
