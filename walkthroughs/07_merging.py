# %% [markdown]
# # 07. Merging: where picture and text meet, and what happens if one changes what meets
#
# The language model gets vectors, not ids. Text ids become rows of the text table, and the placeholders' rows are
# replaced: atoms by visual embeddings, indicators by rows of the visual table. After that nothing distinguishes a
# visual vector from another. The code that runs is `ovis2_ref/merge.py`; in the one file,
# `ovis2.py`, it is `merge_embeddings`.

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import bars
from show import SCENE, TINY, WORDS, answer, ask, check, coverage, keep, load, panel, shape, tile_picture

from ovis2_ref import recording
from ovis2_ref.language.decoder import embed_tokens
from ovis2_ref.merge import merge_embeddings
from ovis2_ref.tiny.training.questions import listed, with_article
from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, draw_scene
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens

model, processor = load()
config, language = model.config, model.parts / "model" / "language_model"
table = model.weights["model.visual_embeddings_table.weight"]
inputs = ask(processor, SCENE.render())
ids = inputs["input_ids"]
with recording() as values:
    output = model(**inputs)

# %% [markdown]
# ## The rule, in three lines
# 1. every id gets its row of the text table;
# 2. the atoms, from first to last, get the visual embeddings: those of the thumbnail, then those of tile 1, and so on;
# 3. each of the five indicators gets its own row, one of the last five of the visual table.

# %%
visual = output.image_hidden_states
x = model.weights["model.language_model.embed_tokens.weight"][ids]
x[ids == config.image_token_id] = visual.reshape(-1, visual.shape[-1])
for number, indicator in enumerate(config.visual_indicator_token_ids):
    x[ids == indicator] = table[len(table) - 5 + number]
check("merged embeddings (b, t, H)", x, values["model.language_model.inputs_embeds"])
images = model.get_image_features(inputs["pixel_values"])
indicators = images.visual_indicator_features
tokens = values["model.vision_tower.tokens"]
merged = ovis2.merge_embeddings(ids[0], tokens, ovis2.read_weights(TINY)["model"], ovis2.read_config(TINY))
check("ovis2.merge_embeddings does all of this", merged[None], x)

# %% [markdown]
# There are as many atoms as visual tokens, or something is wrong with the inputs. The model says so:

# %%
try:
    model(**{**inputs, "pixel_values": inputs["pixel_values"][:-1]})
except ValueError as error:
    print(error)
else:
    raise AssertionError("a missing tile should be an error")

# %% [markdown]
# ## Change what meets
# Since only vectors meet, they can be changed in between: give the model other embeddings than the picture's. `say`
# does that, and each question below is one about what the language model reads.


# %%
def say(ids: np.ndarray, visual: np.ndarray) -> str:
    """Return the answer to a prompt whose atoms get the embeddings `visual` (tiles, tokens, H)."""
    embeddings = merge_embeddings(ids, embed_tokens(ids, language), visual, indicators, config)
    made = model.generate(inputs_embeds=embeddings, max_new_tokens=40)
    return processor.decode(made[0], skip_special_tokens=True)


assert say(ids, visual) == answer(model, processor, inputs), "unchanged embeddings give the model's answer"
print("unchanged:", say(ids, visual))

# %% [markdown]
# ## Replace visual words: a picture edited without a pixel
# Wherever the likeliest word is of a red circle, put the row of the same word of a purple triangle. The picture stays as
# it is.


# %%
def with_words(tokens: np.ndarray, old: str, new: str) -> np.ndarray:
    """Return the tokens: where the likeliest word is of `old`, the certain word of `new` of the same column and part."""
    changed = tokens.copy()
    for word, meaning in enumerate(WORDS):
        if meaning.startswith(old):
            certain = np.eye(tokens.shape[-1], dtype=tokens.dtype)[WORDS.index(meaning.replace(old, new))]
            changed[tokens.argmax(axis=-1) == word] = certain
    return changed


edited = with_words(tokens, "red circle", "purple triangle")
shape("visual tokens (n, P/s^2, V)", edited)
print(f"{(edited != tokens).any(axis=-1).sum()} of {tokens[..., 0].size} tokens replaced")
print("edited:   ", say(ids, embed_visual_tokens(edited, table)))
only = tokens.copy()
only[1:] = edited[1:]
print("edited in the tiles, not in the thumbnail:", say(ids, embed_visual_tokens(only, table)))

# %% [markdown]
# ## Which tiles does the answer need?
# Take parts of the picture away: put the row of word 0, empty ground, in the place of their tokens. In the sample, each
# tile by itself:

# %%
empty = np.broadcast_to(table[0], visual[0].shape)
for tile in range(len(visual)):
    without = visual.copy()
    without[tile] = empty
    print(f"without {f'tile {tile}' if tile else 'the thumbnail':14}", say(ids, without))

# %% [markdown]
# One scene may be luck. So 30 scenes of four tiles or more, each with one shape exchanged for another by its words,
# without the thumbnail, and without all tiles but the thumbnail. (For the exchanged words the right answer is the one
# with the new shape.)

# %%
right = {"as it is": 0, "a shape's words exchanged": 0, "without the thumbnail": 0, "with the thumbnail alone": 0}
asked, seed = 0, 400
while asked < 30:
    scene, seed = draw_scene(seed), seed + 1
    given = ask(processor, scene.render())
    if len(given["pixel_values"]) < 5:
        continue
    asked += 1
    with recording(lambda name: name == "model.vision_tower.tokens") as seen:
        own = model.get_image_features(given["pixel_values"]).pooler_output
    random, present = np.random.default_rng(seed), [one.name for one in scene.shapes]
    old = present[random.integers(len(present))]
    new = str(random.choice([name for name in COLOURED_SHAPES if name not in present]))
    bare, alone = own.copy(), own.copy()
    bare[0], alone[1:] = empty, empty
    exchanged = embed_visual_tokens(with_words(seen["model.vision_tower.tokens"], old, new), table)
    for name, embeddings in zip(right, (own, exchanged, bare, alone), strict=True):
        expected = listed(scene.shapes)
        if embeddings is exchanged:
            expected = expected.lower().replace(with_article(old), with_article(new)).capitalize()
        right[name] += say(given["input_ids"], embeddings) == expected
shares = {name: 100 * count / asked for name, count in right.items()}
keep(
    bars(shares, "Right descriptions after a change of the visual embeddings", "per cent of 30 scenes", digits=0),
    "07_changed",
)

# %%
assert right["as it is"] >= 24, "the model describes most scenes correctly"
assert right["a shape's words exchanged"] >= 15, "the language model reads words: other words, another answer"
for name, share in shares.items():
    print(f"{name:26} {share:.0f} % right")

# %% [markdown]
# What to notice: the language model says what the *words* say. Training decided which tiles it needs: without the thumbnail
# most descriptions are wrong. The thumbnail alone shows every shape of these small scenes, and still some descriptions
# need the other tiles: compare the first line with the last.

# %%
grid = tuple(processor.image_processor(SCENE.render(), return_tensors="np")["grids"][0].tolist())
cells = [int((part > 0.04).sum()) for part in coverage(SCENE, grid).max(axis=0)]
pictures = [
    Image.fromarray(tile_picture(inputs["pixel_values"], tile)).resize((120, 120)) for tile in range(len(cells))
]
names = [f"{f'tile {i}' if i else 'thumbnail'}: {count} of 16 cells show a shape" for i, count in enumerate(cells)]
keep(panel(pictures, "How many visual tokens of each tile have something to say", names, columns=5), "07_tiles")
