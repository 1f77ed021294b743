# %% [markdown]
# # From a picture to an answer
#
# The whole way of a picture through Ovis2, on the tiny checkpoint that the package carries. Every stage is computed here once
# more from its formula, its shape printed, and checked against the value that the model itself makes at that place.
# Run it as a script (`python walkthroughs/00_tour.py`, some seconds), or cell by cell in an editor that knows `# %%`.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.activations import silu
from ovis2_ref.ops import layer_norm, linear, rms_norm, softmax
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.draw import draw_grid, draw_tiles

PICTURES = Path(__file__).parent / "pictures"


def show(name: str, array: np.ndarray) -> None:
    """Print a stage's shape."""
    print(f"{name:34} {array.shape!s:20} {array.dtype}")


def check(name: str, array: np.ndarray, expected: np.ndarray) -> None:
    """Print a stage's shape, and stop if it is not what the model made."""
    show(name, array)
    np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=name)


# %% [markdown]
# ## The model and its processor
# A checkpoint is a folder. The processor turns a picture and a text into arrays, the model turns arrays into arrays.

# %%
processor = Ovis2Processor.from_pretrained(TINY)
model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
weights, config = model.weights, model.config
vision, language = config.vision_config, config.text_config
picture = Image.open(SAMPLE).convert("RGB")
print(f"picture of {picture.width} x {picture.height}; tiles of {vision.image_size} x {vision.image_size}")

# %% [markdown]
# ## Picture -> tiles
# A grid is chosen, the picture is resized to the grid's canvas and cut. The first tile is the whole picture, small.

# %%
text = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
tiles = processor.image_processor(picture, return_tensors="np")
inputs = processor(images=picture, text=text, return_tensors="np")
rows, columns = tiles["grids"][0].tolist()
print(f"a grid of {rows} rows and {columns} columns: {1 + rows * columns if rows * columns > 1 else 1} tiles")
check("tiles (n, 3, S, S)", tiles["pixel_values"], inputs["pixel_values"])
PICTURES.mkdir(exist_ok=True)
draw_grid(np.asarray(picture), (rows, columns)).save(PICTURES / "grid.png")
draw_tiles(tiles["pixel_values"], (rows, columns)).save(PICTURES / "tiles.png")

# %% [markdown]
# ## The prompt
# Each tile stands in the prompt as as many `<IMG_ATOM>` as it has visual tokens; indicators say where rows and columns end.

# %%
print(text)
show("token ids (b, t)", inputs["input_ids"])
print("ids of <IMG_ATOM>:", (inputs["input_ids"] == config.image_token_id).sum(), "=", len(tiles["pixel_values"]), "tiles x",
      vision.tokens_per_tile)  # fmt: skip

# %% [markdown]
# ## What the model makes of it
# One forward pass with a recording open: every value that the model makes on the way, by name.

# %%
with recording() as values:
    output = model(**inputs)
print(len(values), "values recorded, the first:", next(iter(values)))

# %% [markdown]
# ## Tiles -> patches
# A convolution whose stride is its kernel is a product: cut the tile into squares, lay each one flat, multiply.

# %%
tower = "model.vision_tower.transformer"
n, channels, side, _ = inputs["pixel_values"].shape
per_side, size = vision.patches_per_side, vision.patch_size
squares = inputs["pixel_values"].reshape(n, channels, per_side, size, per_side, size).transpose(0, 2, 4, 1, 3, 5)
flat = squares.reshape(n, per_side**2, channels * size**2)
w = model.parts / "model" / "vision_tower" / "transformer"
patches = linear(flat, w / "embeddings" / "patch_embedding")
x = rms_norm(patches, w / "embeddings" / "rms_norm", vision.rms_norm_eps)
x = x + (w / "embeddings" / "position_embedding")["weight"]
check("patches (n, P, D)", x, values[f"{tower}.embeddings.output"])


# %% [markdown]
# ## Patches -> features
# A block: every patch looks at every other (attention), then thinks by itself (SwiGLU). x + f(norm(x)), twice.


# %%
def vit_block(x: np.ndarray, w: Weights) -> np.ndarray:
    """One block of AIMv2, all heads at once."""
    heads = (n, per_side**2, vision.num_attention_heads, vision.head_dim)
    normed = rms_norm(x, w / "rms_norm1", vision.rms_norm_eps)
    query, key, value = (
        linear(normed, w / "attention" / f"{part}_proj").reshape(heads).transpose(0, 2, 1, 3) for part in "qkv"
    )
    attention = softmax(query @ key.swapaxes(2, 3) / vision.head_dim**0.5)
    mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(x.shape)
    x = x + linear(mixed, w / "attention" / "out_proj")
    normed = rms_norm(x, w / "rms_norm2", vision.rms_norm_eps)
    gate, up = (linear(normed, w / "ffn" / f"{part}_proj") for part in ("gate", "up"))
    return x + linear(silu(gate) * up, w / "ffn" / "down_proj")


for layer in range(vision.num_hidden_layers):
    x = vit_block(x, w / "encoder" / "layers" / layer)
    check(f"after block {layer}", x, values[f"{tower}.encoder.layers.{layer}.output"])
features = rms_norm(x, w / "rms_norm", vision.rms_norm_eps)

# %% [markdown]
# ## Features -> visual tokens
# Neighbours are laid side by side, a linear head scores every word of the visual vocabulary, softmax makes a distribution of it.

# %%
stride = vision.hidden_stride
cells = per_side // stride
merged = features.reshape(n, cells, stride, cells, stride, -1).transpose(0, 1, 3, 2, 4, 5).reshape(n, cells**2, -1)
head = model.parts / "model" / "vision_tower"
scores = layer_norm(linear(merged, head / "head_linear"), head / "head_norm")
tokens = softmax(scores)
check("visual tokens (n, P/s^2, V)", tokens, values["model.vision_tower.tokens"])
print("the whole picture in visual words:\n", tokens[0].argmax(axis=-1).reshape(cells, cells))

# %% [markdown]
# ## Visual tokens -> visual embeddings
# The expected row of the visual embedding table: a text token picks one row, a visual token mixes all of them.

# %%
table = weights["model.visual_embeddings_table.weight"]
visual = tokens @ table[: tokens.shape[-1]]
check("visual embeddings (n, P/s^2, H)", visual, output.image_hidden_states)

# %% [markdown]
# ## Into the text
# Atoms get the visual embeddings in reading order, indicators the last rows of the same table; all else keeps its text row.

# %%
ids = inputs["input_ids"]
embeddings = weights["model.language_model.embed_tokens.weight"][ids]
embeddings[ids == config.image_token_id] = visual.reshape(-1, config.hidden_size)
for indicator, row in zip(config.visual_indicator_token_ids, table[tokens.shape[-1] :], strict=True):
    embeddings[ids == indicator] = row
check("embeddings (b, t, H)", embeddings, values["model.language_model.inputs_embeds"])

# %% [markdown]
# ## Embeddings -> logits -> the next token
# Qwen2 reads the row from left to right; the last position's logits say what comes next.

# %%
show("hidden states (b, t, H)", values["model.language_model.norm.output"])
logits = linear(values["model.language_model.norm.output"], model.parts / "model" / "language_model" / "embed_tokens")
check("logits (b, t, vocabulary)", logits, output.logits)
print("next token:", repr(processor.decode([int(logits[0, -1].argmax())])))

# %% [markdown]
# ## The answer
# Take the best token, put it behind the prompt, ask again, until the end token comes.

# %%
generated = model.generate(**inputs, max_new_tokens=64)
answer = processor.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True)[0]
print("answer:", answer)
