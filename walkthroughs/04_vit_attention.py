# %% [markdown]
# # 04. Attention in the vision transformer
#
# What one head of one block computes, step by step, and where the heads of the tiny model look. The code that runs is
# `attend` in `ovis2_ref/ops.py`; in the one file, `ovis2.py`, it is `attend`, `softmax` and `attention`. Vaswani et al.,
# 2017, "Attention Is All You Need", equation 1:
#
#     attention(q, k, v) = softmax(q k^T / sqrt(d)) v

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import bars, heatmap
from show import SCENE, TINY, ask, check, keep, load, panel, shape, spotlight, tile_picture

from ovis2_ref import recording
from ovis2_ref.ops import attend, softmax
from ovis2_ref.vision.encoder import attention

model, processor = load()
vision = model.config.vision_config
inputs = ask(processor, SCENE.render())
with recording() as values:
    model(**inputs)
name = "model.vision_tower.transformer.encoder.layers."
side, d, heads = vision.patches_per_side, vision.head_dim, vision.num_attention_heads

# %% [markdown]
# ## Questions, keys and values
# Each patch sends out three vectors: a query (what do I look for), a key (what am I) and a value (what do I hand over).
# All are linear in the normed vector. The D numbers are cut into heads: head h gets numbers h d to (h + 1) d - 1.

# %%
block = 1
part = model.parts / "model" / "vision_tower" / "transformer" / "encoder" / "layers" / block / "attention"
x = values[f"{name}{block}.rms_norm1.output"]
q, k, v = (x @ (part / f"{which}_proj")["weight"].T for which in "qkv")
shape("q (n, P, D)", q)
q, k, v = (y.reshape(len(y), -1, heads, d).swapaxes(1, 2) for y in (q, k, v))
shape("q in heads (n, heads, P, d)", q)

# %% [markdown]
# ## Scores: q k^T / sqrt(d)
# Number (i, j) says how well key j answers query i. Two independent vectors of d numbers with variance 1 have a product
# of variance d, hence the division: without it softmax would soon put everything on one key.

# %%
scores = q @ k.swapaxes(-1, -2) / np.sqrt(d)
check("scores (n, heads, P, P)", scores, values[f"{name}{block}.attention.scores"])

# %% [markdown]
# ## Weights: softmax of each row
# exp(s_j) / sum_j exp(s_j): positive, and a row sums to 1. A row is how a patch spreads its attention over the patches
# of its tile.

# %%
e = np.exp(scores - scores.max(axis=-1, keepdims=True))
weights = e / e.sum(axis=-1, keepdims=True)
check("weights (n, heads, P, P)", weights, values[f"{name}{block}.attention.weights"])
check("ops.softmax does this", softmax(scores), weights)

# %% [markdown]
# ## Context: weights v, then the heads are joined
# Row i of `weights v` is the mean of all values, weighted by row i. Then `out_proj` mixes the heads.

# %%
context = weights @ v
check("ops.attend does all of this", attend(q, k, v, None, part), context)
joined = context.transpose(0, 2, 1, 3).reshape(x.shape)
check("context (n, P, D)", joined, values[f"{name}{block}.attention.context"])
out = joined @ (part / "out_proj")["weight"].T
check("attention does all of this", attention(x, part, vision), out)
layers = ovis2.read_weights(TINY)["model"]["vision_tower"]["transformer"]["encoder"]["layers"]
settings = ovis2.read_config(TINY)["vision_config"]
check("and so does ovis2.attention", ovis2.attention(x, layers[str(block)]["attention"], settings), out)

# %% [markdown]
# ## Where a patch looks
# Take the thumbnail, and in it the patch whose colour stands out most: it lies in a shape. Each picture below shows the
# tile as bright as the attention that this patch pays to each place.

# %%
tile = 0
squares = inputs["pixel_values"][tile].reshape(3, side, vision.patch_size, side, vision.patch_size).mean(axis=(2, 4))
stands_out = np.linalg.norm(squares - np.median(squares, axis=(1, 2), keepdims=True), axis=0)
patch = int(stands_out.argmax())
print(f"patch {patch}: row {patch // side + 1}, column {patch % side + 1} of the thumbnail")
thumbnail = tile_picture(inputs["pixel_values"], tile)
marker = np.full((side, side), 0.25)
marker[patch // side, patch % side] = 1
pictures, names = [spotlight(thumbnail, marker, 150)], ["the patch that asks"]
for i in range(vision.num_hidden_layers):
    for h in range(heads):
        row = values[f"{name}{i}.attention.weights"][tile, h, patch].reshape(side, side)
        pictures.append(spotlight(thumbnail, row, 150))
        names.append(f"block {i}, head {h}")
pictures[1:1] = [Image.new("RGB", (150, 150), (255, 255, 255))] * 3
names[1:1] = [" "] * 3
caption = (
    "Where the patch that is lit in the first picture looks in the thumbnail, in every head of every block. "
    "Fully lit: the most attended patch of that head; black: next to nothing."
)
keep(panel(pictures, caption, names), "04_heads")

# %% [markdown]
# ## How far a head looks
# The mean distance between the patch that asks and the patches that it attends to, in patches. Uniform attention would
# have the mean distance of all pairs.

# %%
rows, columns = np.divmod(np.arange(side * side), side)
distance = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
far = np.array(
    [
        [(values[f"{name}{i}.attention.weights"][:, h] * distance).sum(axis=-1).mean() for h in range(heads)]
        for i in range(vision.num_hidden_layers)
    ]
)
far -= distance.mean()
caption = f"How much further (red) or nearer (blue) a head looks than uniform attention, {distance.mean():.2f} patches"
row_names, column_names = [str(i) for i in range(len(far))], [str(h) for h in range(heads)]
keep(heatmap(far, caption, "block", "head", row_names, column_names, digits=2), "04_distance")

# %% [markdown]
# ## How sharp a head is
# exp(entropy) of a row is how many patches it attends to, as if evenly: 1 is a pointer, 64 is a mean over the tile.

# %%
sharpness = {}
for i in range(vision.num_hidden_layers):
    p = values[f"{name}{i}.attention.weights"]
    sharpness[f"block {i}"] = float(np.exp(-(p * np.log(p + 1e-30)).sum(axis=-1)).mean())
caption = "Between how many patches a patch divides its attention (mean over heads, patches and tiles)"
keep(bars(sharpness, caption, "exp(entropy), in patches; 64 at most", digits=1), "04_sharpness")

# %% [markdown]
# ## What the scale is for
# The same scores without the division by sqrt(d): softmax becomes sharper, and the model was not trained with that.

# %%
sharper = softmax(scores * np.sqrt(d))
entropy = [float(np.exp(-(p * np.log(p + 1e-30)).sum(axis=-1)).mean()) for p in (weights, sharper)]
assert entropy[1] < entropy[0], "larger scores make a sharper softmax"
print(f"patches attended to in block {block}: {entropy[0]:.1f} with the scale, {entropy[1]:.1f} without")
