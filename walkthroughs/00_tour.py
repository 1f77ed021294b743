# %% [markdown]
# # 00. From a picture to an answer
#
# The whole way of a picture through Ovis2, on the tiny checkpoint that the package carries. Every stage calls the
# function that the model itself calls, prints the shape of what comes out, and compares it with the value that the
# model made at that place. Each stage has a walkthrough of its own (01 to 11) that computes it once more from its
# formula.
#
# Run it as a script (`python walkthroughs/00_tour.py`, a few seconds), or cell by cell in an editor that knows `# %%`.
# Letters for sizes: `n` tiles, `S` pixels on a side of a tile, `P` patches of a tile, `D` numbers for a patch, `s`
# stride, `V` words of the visual vocabulary, `b` texts, `t` tokens of a text, `H` numbers for a token.

# %%
import numpy as np
from PIL import Image
from show import ask, check, keep, load, shape

from ovis2_ref import recording
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.decoder import embed_tokens, layer
from ovis2_ref.language.forward_pass import forward_pass
from ovis2_ref.merge import merge_embeddings
from ovis2_ref.ops import linear, rms_norm
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.draw import draw_grid, draw_tiles
from ovis2_ref.vision.encoder import block, embed_patches
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens, indicator_embeddings, merge_patches, visual_tokens

# %% [markdown]
# ## The model and its processor
# A checkpoint is a folder. The processor turns a picture and a text into arrays; the model turns arrays into arrays.

# %%
model, processor = load()
config, vision, text = model.config, model.config.vision_config, model.config.text_config
tower, language = model.parts / "model" / "vision_tower", model.parts / "model" / "language_model"
picture = Image.open(SAMPLE).convert("RGB")
print(
    f"a picture of {picture.width} x {picture.height} pixels; {sum(w.size for w in model.weights.values()):,} weights"
)

# %% [markdown]
# ## Picture -> tiles (walkthroughs 01 and 02)
# A grid is chosen, the picture is resized to the grid's canvas and cut. Tile 0 is the whole picture, small: the
# thumbnail.

# %%
tiles = processor.image_processor(picture, return_tensors="np")
grid = tuple(tiles["grids"][0].tolist())
shape("tiles (n, 3, S, S)", tiles["pixel_values"])
print(f"a grid of {grid[0]} rows and {grid[1]} columns, and the thumbnail")
keep(draw_grid(np.asarray(picture), grid), "00_grid")

# %%
keep(draw_tiles(tiles["pixel_values"], grid), "00_tiles")

# %% [markdown]
# ## The prompt (06)
# Each tile stands in the prompt as as many `<IMG_ATOM>` as it has visual tokens; indicators say where rows and columns
# end.

# %%
inputs = ask(processor, picture, "Describe the image.")
ids = inputs["input_ids"]
shape("token ids (b, t)", ids)
atoms = int((ids == config.image_token_id).sum())
assert atoms == len(tiles["pixel_values"]) * vision.tokens_per_tile, "a tile has as many atoms as visual tokens"
print(f"{atoms} of the {ids.size} tokens are <IMG_ATOM>: {len(tiles['pixel_values'])} tiles x {vision.tokens_per_tile}")

# %% [markdown]
# ## One forward pass, recorded
# `recording()` keeps every value that the model makes on the way, by name. Below, each stage is compared with these.

# %%
with recording() as values:
    output = model(**inputs)
print(f"{len(values)} values, for example:", *list(values)[::40], sep="\n  ")

# %% [markdown]
# ## Tiles -> patches -> features (03 and 04)
# Each patch becomes a row of D numbers. In a block every patch looks at every other patch of its tile (attention), then
# passes a small network by itself (SwiGLU): x + f(norm(x)), twice. A vector that described the pixels of a patch comes
# to describe what the patch is part of.

# %%
x = embed_patches(inputs["pixel_values"], tower / "transformer" / "embeddings", vision)
check("patches (n, P, D)", x, values["model.vision_tower.transformer.embeddings.output"])
for i in range(vision.num_hidden_layers):
    x = block(x, tower / "transformer" / "encoder" / "layers" / i, vision)
    check(f"after block {i}", x, values[f"model.vision_tower.transformer.encoder.layers.{i}.output"])
features = rms_norm(x, tower / "transformer" / "rms_norm", vision.rms_norm_eps)

# %% [markdown]
# ## Features -> visual tokens -> visual embeddings (05)
# s x s neighbouring patches are laid side by side, a linear head scores every word of a visual vocabulary, and softmax
# makes a distribution of the scores. Its embedding is the expected row of a table: a text token picks one row, a visual
# token mixes all.

# %%
merged = merge_patches(features, vision.hidden_stride)
shape("merged (n, P/s^2, s^2 D)", merged)
tokens = visual_tokens(merged, tower, vision, model.convention)
check("visual tokens (n, P/s^2, V)", tokens, values["model.vision_tower.tokens"])
np.testing.assert_allclose(tokens.sum(axis=-1), 1, rtol=1e-5, err_msg="a visual token is a distribution")
table = model.weights["model.visual_embeddings_table.weight"]
visual = embed_visual_tokens(tokens, table)
check("visual embeddings (n, P/s^2, H)", visual, output.image_hidden_states)
print("the thumbnail, cell by cell, in its likeliest visual words:")
print(tokens[0].argmax(axis=-1).reshape(4, 4))

# %% [markdown]
# ## Into the text (07)
# Atoms get the visual embeddings in reading order, indicators the last rows of the same table; all else keeps its text
# row.

# %%
indicators = indicator_embeddings(table, vision)
x = merge_embeddings(ids, embed_tokens(ids, language), visual, indicators, config)
check("embeddings (b, t, H)", x, values["model.language_model.inputs_embeds"])

# %% [markdown]
# ## Embeddings -> hidden states -> logits (08 and 09)
# Qwen2 reads the row from left to right: in its layers a token looks at itself and at the tokens before it. `this`
# holds what the layers share: the rotation of each position, the mask, and the cache of keys and values.

# %%
cache = KVCache(text, batch=1, capacity=ids.shape[1] + 40, dtype=model.dtype, xp=np)
this = forward_pass(x, text, cache=cache)
for i in range(text.num_hidden_layers):
    x = layer(x, language / "layers" / i, text, i, this)
    check(f"after layer {i}", x, values[f"model.language_model.layers.{i}.output"])
cache.advance(ids.shape[1])
hidden = rms_norm(x, language / "norm", text.rms_norm_eps)
logits = linear(hidden, language / "embed_tokens")  # the output head of this model is its embedding table
check("logits (b, t, vocabulary)", logits, output.logits)

# %% [markdown]
# ## Logits -> answer: the greedy loop (10 and 11)
# Take the best token, put it behind the text, read it, and ask again, until the end token comes. What was read before
# lies in the cache, so a step reads one token.

# %%
answer = [int(logits[0, -1].argmax())]
while answer[-1] not in text.eos_token_id and len(answer) < 40:
    x = embed_tokens(np.array([answer[-1:]]), language)
    this = forward_pass(x, text, cache=cache)
    for i in range(text.num_hidden_layers):
        x = layer(x, language / "layers" / i, text, i, this)
    cache.advance(1)
    logits = linear(rms_norm(x, language / "norm", text.rms_norm_eps), language / "embed_tokens")
    answer.append(int(logits[0, -1].argmax()))
    print(processor.decode(answer))

# %%
generated = model.generate(**inputs, max_new_tokens=40)[0, ids.shape[1] :]
assert generated.tolist() == answer, "the loop above makes the tokens that model.generate makes"
print("answer:", processor.decode(answer, skip_special_tokens=True))
