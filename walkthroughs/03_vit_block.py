# %% [markdown]
# # 03. Patches, and one block of the vision transformer
#
# A tile becomes a row of vectors, one for each 8 x 8 patch, and a block of AIMv2 changes each vector twice. Every
# formula is computed here from NumPy alone and compared with the model's value. The code that runs is
# `ovis2_ref/vision/encoder.py`; in the one file, `ovis2.py`, it is `patch_embedding`, `rms_norm`, `attention`,
# `feed_forward` and `block`. Fini et al., 2024, "Multimodal Autoregressive Pre-training of Large Vision Encoders"
# (AIMv2).

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import bars
from show import SCENE, TINY, ask, check, keep, load, panel, shape, tile_picture

from ovis2_ref import recording
from ovis2_ref.vision.encoder import block, embed_patches

model, processor = load()
vision = model.config.vision_config
w = model.parts / "model" / "vision_tower" / "transformer"
inputs = ask(processor, SCENE.render())
tiles = inputs["pixel_values"]
with recording() as values:
    model(**inputs)
name = "model.vision_tower.transformer."
shape("tiles (n, 3, S, S)", tiles)

# %% [markdown]
# ## Patch embedding: W patch + b
# A convolution whose stride is its kernel looks at every pixel once. So it is a product: cut the tile into squares, lay
# each one flat (channel, then row, then column: the order in which a kernel's weights lie), multiply. Patches come in
# reading order.

# %%
p, side = vision.patch_size, vision.patches_per_side
squares = tiles.reshape(len(tiles), 3, side, p, side, p).transpose(0, 2, 4, 1, 3, 5)
flat = squares.reshape(len(tiles), side * side, 3 * p * p)
kernel = (w / "embeddings" / "patch_embedding")["weight"]
bias = (w / "embeddings" / "patch_embedding")["bias"]
patches = flat @ kernel.reshape(len(kernel), -1).T + bias
shape("flat patches (n, P, 3 p p)", flat)
check("patches (n, P, D)", patches, values[name + "embeddings.patch_embedding.output"])

# %% [markdown]
# ## RMSNorm: weight * x / sqrt(mean(x^2) + eps)
# Each vector is brought to length sqrt(D), then every number gets a learned factor. No mean is subtracted, no bias
# added (Zhang and Sennrich, 2019, equation 4).


# %%
def rms_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weight * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + vision.rms_norm_eps)


normed = rms_norm(patches, (w / "embeddings" / "rms_norm")["weight"])
check("normed patches (n, P, D)", normed, values[name + "embeddings.rms_norm.output"])

# %% [markdown]
# ## Positions
# Attention does not know where a patch lies: shuffle the patches, and the outputs are shuffled in the same way. So a
# learned vector for each of the P places is added. It is the same for all tiles.

# %%
positions = (w / "embeddings" / "position_embedding")["weight"]
x = normed + positions
check("embedded patches (n, P, D)", x, values[name + "embeddings.output"])
check("embed_patches does all of this", embed_patches(tiles, w / "embeddings", vision), x)

# %%
unit = positions / np.linalg.norm(positions, axis=1, keepdims=True)
rows, columns = np.divmod(np.arange(side * side), side)
same = np.eye(side * side, dtype=bool)
for kind, pairs in (("row", rows[:, None] == rows), ("column", columns[:, None] == columns)):
    print(f"mean cosine of two position vectors of the same {kind}: {(unit @ unit.T)[pairs & ~same].mean():.3f}")

# %% [markdown]
# ## Attention, as a box: x + attention(norm(x))
# Every patch asks all patches of its tile and adds what it gets to its own vector. Walkthrough 04 opens the box. One
# head needs three products (queries q, keys k, values v), a softmax and a sum; the heads lie side by side in the D
# numbers.


# %%
def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(x: np.ndarray, w) -> np.ndarray:
    mixed = []
    for h in range(vision.num_attention_heads):
        rows = slice(h * vision.head_dim, (h + 1) * vision.head_dim)
        q, k, v = (x @ (w / f"{part}_proj")["weight"][rows].T for part in "qkv")
        mixed.append(softmax(q @ k.swapaxes(1, 2) / np.sqrt(vision.head_dim)) @ v)
    return np.concatenate(mixed, axis=-1) @ (w / "out_proj")["weight"].T


first = w / "encoder" / "layers" / 0
change = attention(rms_norm(x, (first / "rms_norm1")["weight"]), first / "attention")
middle = x + change
check("after attention (n, P, D)", middle, values[name + "encoder.layers.0.after_attention"])

# %% [markdown]
# ## SwiGLU: W_down (silu(W_gate x) * W_up x)
# Each patch by itself. `up` proposes 2 D numbers, `gate` decides how far each one comes through: silu(z) = z / (1 +
# exp(-z)) is about z above 0 and about 0 below (Shazeer, 2020, equation 6).


# %%
def swiglu(x: np.ndarray, w) -> np.ndarray:
    gate, up = (x @ (w / f"{part}_proj")["weight"].T for part in ("gate", "up"))
    return (gate / (1 + np.exp(-gate)) * up) @ (w / "down_proj")["weight"].T


out = middle + swiglu(rms_norm(middle, (first / "rms_norm2")["weight"]), first / "ffn")
check("after the block (n, P, D)", out, values[name + "encoder.layers.0.output"])
parts = ovis2.read_weights(TINY)["model"]["vision_tower"]["transformer"]["encoder"]["layers"]["0"]
check("ovis2.block does all of this", ovis2.block(x, parts, ovis2.read_config(TINY)["vision_config"]), out)

# %% [markdown]
# ## What the blocks do to a vector
# A block adds; it never replaces. So each block can be asked how much it added, compared with the vector that it found.

# %%
added = {}
before = x
for i in range(vision.num_hidden_layers):
    after = values[f"{name}encoder.layers.{i}.after_attention"]
    done = values[f"{name}encoder.layers.{i}.output"]
    for part, a, b in (("attention", before, after), ("SwiGLU", after, done)):
        added[f"block {i}, {part}"] = float((np.linalg.norm(b - a, axis=-1) / np.linalg.norm(a, axis=-1)).mean())
    before = done
caption = "How much each half of a block adds to the vector of a patch (mean over all patches)"
keep(bars(added, caption, "length of what is added / length of the vector"), "03_added")

# %% [markdown]
# To see vectors of 128 numbers, take the three directions in which those of one stage differ most (principal
# components) and show them as red, green and blue: patches of one colour have vectors that are alike. Notice how the
# patches of a shape come to be alike, and unlike those of the other shapes.


# %%
def as_colours(vectors: np.ndarray) -> list[Image.Image]:
    centred = vectors.reshape(-1, vectors.shape[-1]) - vectors.mean(axis=(0, 1))
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    components = centred @ directions[:3].T
    levels = np.uint8(255 * np.clip(components / (5 * components.std(axis=0)) + 0.5, 0, 1)).reshape(-1, side, side, 3)
    return [Image.fromarray(tile).resize((120, 120), Image.Resampling.NEAREST) for tile in levels]


stages = {"embedded": x}
for i in range(vision.num_hidden_layers):
    stages[f"after block {i}"] = values[f"{name}encoder.layers.{i}.output"]
pictures = [Image.fromarray(tile_picture(tiles, t)).resize((120, 120)) for t in range(2)]
names = ["the thumbnail", "tile 1"]
for stage, vectors in stages.items():
    pictures += as_colours(vectors)[:2]
    names += [stage, " "]
pictures, names = pictures[::2] + pictures[1::2], names[::2] + names[1::2]
caption = (
    "The vector of each patch as a colour. Its red, green and blue are the three directions in which the vectors of that "
    "stage differ most, so the colours of two stages can't be compared; alike colours within one picture are alike vectors."
)
keep(panel(pictures, caption, names, columns=len(pictures) // 2), "03_vectors")

# %% [markdown]
# ## Why the positions matter
# Without the position vectors, shuffling the patches of a tile shuffles the output of the block and changes nothing
# else. With them, it does not.

# %%
shuffle = np.random.default_rng(0).permutation(side * side)
check(
    "block of shuffled = shuffled block",
    block(normed[:, shuffle], first, vision),
    block(normed, first, vision)[:, shuffle],
)
moved = block(normed[:, shuffle] + positions, first, vision)
difference = float(np.abs(moved - out[:, shuffle]).max() / np.abs(out).max())
assert difference > 0.05, "with positions, the block should see that patches have moved"
print(f"with positions, the same shuffle changes the output by {difference:.0%} of its largest value")
