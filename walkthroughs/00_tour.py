# %% [markdown]
# # 00. From a picture to an answer
#
# The whole way of a picture through Ovis2, on the tiny checkpoint that the package carries. Each stage is computed by
# [`ovis2.py`](ovis2.py), all of Ovis2 in 200 lines of NumPy, and compared with the value that the package's model made
# at that place. The two share no code. Read `ovis2.py` beside this page; walkthroughs 01 to 11 take one stage each.
#
# Run it as a script (`python walkthroughs/00_tour.py`, a few seconds), or cell by cell in an editor that knows `# %%`.
# Letters for sizes: `n` tiles, `S` pixels on a side of a tile, `P` patches of a tile, `D` numbers for a patch, `s`
# stride, `T` visual tokens of a tile (P / s^2), `V` words of the visual vocabulary, `t` tokens of the prompt, `H` numbers
# for a token.

# %%
import numpy as np
import ovis2
from PIL import Image
from show import TINY, ask, check, keep, large_tiles, load, shape

from ovis2_ref import recording
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.draw import draw_grid

# %% [markdown]
# ## A checkpoint
# A checkpoint is a folder: `config.json` says how many layers and heads there are, `model.safetensors` holds the
# weights, `tokenizer.json` the vocabulary. `w` is a tree: each part of the model is a dictionary of its parts.

# %%
config, w = ovis2.read_config(TINY), ovis2.read_weights(TINY)
vision, text = config["vision_config"], config["text_config"]
tower, language = w["model"]["vision_tower"], w["model"]["language_model"]
print("the parts of the model:", list(w["model"]))
print("the parts of a block of the vision transformer:", list(tower["transformer"]["encoder"]["layers"]["0"]))

# %% [markdown]
# ## The package's run, recorded
# `recording()` keeps every value that the package's model makes on the way, by name. Below, each stage is compared with
# these.

# %%
model, processor = load()
question = "Describe the image."
inputs = ask(processor, Image.open(SAMPLE).convert("RGB"), question)
with recording() as values:
    output = model(**inputs)
print(f"{len(values)} values, for example:", *list(values)[::40], sep="\n  ")

# %% [markdown]
# ## Picture -> tiles (walkthroughs 01 and 02)
# Choose a grid, resize the picture to the grid's canvas, and cut it. Tile 0 is the thumbnail: the whole picture, small.
# The package gets every byte of a tile right, and so does the one file: the largest difference has to be 0.

# %%
picture = np.asarray(Image.open(SAMPLE).convert("RGB")).transpose(2, 0, 1)
shape("picture (3, h, w)", picture)
tiles, grid = ovis2.cut_canvas(picture, config["size"]["height"], config["max_patches"])
pixels = ovis2.pillow_values(tiles, config["image_mean"], config["image_std"])
check("pixel values (n, 3, S, S)", pixels, inputs["pixel_values"], 0)
print(f"a grid of {grid[0]} rows and {grid[1]} columns, and the thumbnail")
keep(draw_grid(picture.transpose(1, 2, 0), grid), "00_grid")

# %%
keep(large_tiles(pixels, grid), "00_tiles")

# %% [markdown]
# ## Tiles -> patches -> features (03 and 04)
# Each patch becomes a row of D numbers. In a block every patch looks at every other patch of its tile (attention), then
# passes a small network by itself (SwiGLU): x + f(norm(x)), twice. At first a vector describes the pixels of its patch;
# after the blocks it describes what the patch is part of.

# %%
embeddings = tower["transformer"]["embeddings"]
x = ovis2.patch_embedding(pixels, embeddings["patch_embedding"])
check("patches (n, P, D)", x, values["model.vision_tower.transformer.embeddings.patch_embedding.output"])
x = ovis2.rms_norm(x, embeddings["rms_norm"], vision["rms_norm_eps"]) + embeddings["position_embedding"]["weight"]
for i in range(vision["num_hidden_layers"]):
    x = ovis2.block(x, tower["transformer"]["encoder"]["layers"][str(i)], vision)
    check(f"after block {i}", x, values[f"model.vision_tower.transformer.encoder.layers.{i}.output"])
features = ovis2.rms_norm(x, tower["transformer"]["rms_norm"], vision["rms_norm_eps"])
check("features", features, values["model.vision_tower.transformer.rms_norm.output"])

# %% [markdown]
# ## Features -> visual tokens (05)
# Lay s x s neighbouring patches side by side. A linear head scores every word of a visual vocabulary, and softmax turns
# the scores into probabilities.

# %%
merged = ovis2.merge_patches(features, vision["hidden_stride"])
check("merged (n, T, s^2 D)", merged, values["model.vision_tower.merged"])
tokens = ovis2.visual_tokens(merged, tower)
check("visual tokens (n, T, V)", tokens, values["model.vision_tower.tokens"])
print("the thumbnail, cell by cell, in its likeliest visual words:")
print(tokens[0].argmax(axis=-1).reshape(4, 4))

# %% [markdown]
# ## The prompt (06)
# Each tile becomes one `<IMG_ATOM>` per visual token; indicators mark where rows and columns end.

# %%
prompt = ovis2.render_chat(ovis2.image_placeholder(grid, tokens.shape[1]), question)
tokenizer = ovis2.Tokenizer.from_file(str(TINY / "tokenizer.json"))
ids = np.array(tokenizer.encode(prompt).ids)
assert np.array_equal(ids, inputs["input_ids"][0]), "the one file and the package should make the same prompt"
atoms = int((ids == config["image_token_id"]).sum())
print(f"{ids.size} token ids, {atoms} of them <IMG_ATOM>: {len(tiles)} tiles x {tokens.shape[1]} visual tokens")

# %% [markdown]
# ## Visual tokens meet the text (07)
# A text token picks one row of the text table. A visual token has a probability for each row of the visual table, and
# its embedding is the expected row. Indicators get the last five rows of the visual table.

# %%
x = ovis2.merge_embeddings(ids, tokens, w["model"], config)
check("embeddings (t, H)", x, values["model.language_model.inputs_embeds"][0])

# %% [markdown]
# ## Embeddings -> hidden states -> logits (08 and 09)
# Qwen2 repeats the same block. In three things its attention differs: queries and keys are rotated by their positions,
# a token doesn't see later tokens, and several query heads share a head of keys and values. The logits are a score for
# each token of the vocabulary; this model's output head is its embedding table.

# %%
caches = [[] for _ in range(text["num_hidden_layers"])]
for i, cache in enumerate(caches):
    x = ovis2.block(x, language["layers"][str(i)], text, cache)
    check(f"after layer {i}", x, values[f"model.language_model.layers.{i}.output"][0])
hidden = ovis2.rms_norm(x, language["norm"], text["rms_norm_eps"])
logits = ovis2.linear(hidden, language["embed_tokens"])
check("logits (t, vocabulary)", logits, output.logits[0])

# %% [markdown]
# ## Logits -> answer: the greedy loop (10 and 11)
# Take the likeliest token, append it to the text, read it, and ask again, until the end token comes. The caches hold
# the keys and values of what was read before, so a step reads one token.

# %%
answer = [int(logits[-1].argmax())]
while answer[-1] not in config["eos_token_id"] and len(answer) < 40:
    x = language["embed_tokens"]["weight"][answer[-1:]]
    logits = ovis2.linear(ovis2.decoder(x, language, text, caches), language["embed_tokens"])
    answer.append(int(logits[-1].argmax()))
    print(tokenizer.decode(answer))

# %%
generated = model.generate(**inputs, max_new_tokens=40)[0, ids.size :]
assert generated.tolist() == answer, "the loop above should make the tokens that the package's model generates"
assert tokenizer.decode(answer) == ovis2.describe(SAMPLE, question), "and `describe` puts the stages together"
print("answer:", tokenizer.decode(answer))
