# %% [markdown]
# # 05. Visual tokens, and what the visual words mean
#
# A text has a vocabulary and a table with a row for each word. Ovis gives pictures the same: a visual vocabulary and a
# table of its own. Since a patch is rarely one word, a visual token is a distribution over all words, and its embedding
# the expected row. The code that runs is `ovis2_ref/vision/visual_tokenizer.py`; in the one file, `ovis2.py`, it is
# `merge_patches`, `layer_norm` and `visual_tokens`. Lu et al., 2024, "Ovis: Structural
# Embedding Alignment for Multimodal Large Language Model", section 3.

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import heatmap
from show import SCENE, TINY, WORDS, ask, check, coverage, keep, load, panel, shape, spotlight, tile_picture

from ovis2_ref import recording
from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, COLOURS, KINDS, draw_scene
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens, merge_patches

model, processor = load()
vision = model.config.vision_config
tower = model.parts / "model" / "vision_tower"
inputs = ask(processor, SCENE.render())
with recording() as values:
    output = model(**inputs)

# %% [markdown]
# ## Merge: s x s neighbours side by side
# The language model's row should be short. So each square of s x s patches (here 2 x 2) becomes one vector, s^2 times
# as long, in reading order inside and outside the square. Nothing is averaged, nothing is lost.

# %%
features = values["model.vision_tower.transformer.rms_norm.output"]
n, side, s = len(features), vision.patches_per_side, vision.hidden_stride
cells = side // s
merged = features.reshape(n, cells, s, cells, s, -1).transpose(0, 1, 3, 2, 4, 5).reshape(n, cells * cells, -1)
shape("features (n, P, D)", features)
check("merged (n, P/s^2, s^2 D)", merged, merge_patches(features, s))

# %% [markdown]
# ## Tokens: softmax(LayerNorm(W merged))
# W has a row for every visual word but the indicators, which only the prompt uses. LayerNorm subtracts the mean,
# divides by the standard deviation, and has a weight and a bias (Ba et al., 2016).

# %%
scores = merged @ (tower / "head_linear")["weight"].T
centred = scores - scores.mean(axis=-1, keepdims=True)
normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
normed = normed * (tower / "head_norm")["weight"] + (tower / "head_norm")["bias"]
e = np.exp(normed - normed.max(axis=-1, keepdims=True))
tokens = e / e.sum(axis=-1, keepdims=True)
check("visual tokens (n, P/s^2, V)", tokens, values["model.vision_tower.tokens"])
one_file = ovis2.read_weights(TINY)["model"]["vision_tower"]
check("ovis2.visual_tokens does all of this", ovis2.visual_tokens(ovis2.merge_patches(features, s), one_file), tokens)

# %% [markdown]
# ## Embeddings: sum_w token_w table_w
# A text token is a one-hot row times the table, which is a look-up. A visual token mixes rows.

# %%
table = model.weights["model.visual_embeddings_table.weight"]
check("visual embeddings (n, P/s^2, H)", tokens @ table[: tokens.shape[-1]], output.image_hidden_states)
sure_of_7 = np.eye(tokens.shape[-1], dtype=np.float32)[[7]]
check("a token that is sure of word 7 looks up row 7", embed_visual_tokens(sure_of_7, table), table[[7]])

# %% [markdown]
# ## What the words of this model mean
# The authors gave the 65,536 words of their model no meanings; training found what each is for. The tiny model's first
# words were trained to have a meaning: word 0 is empty ground, and each of the 24 coloured shapes has eight words: for its
# centre and for its other parts, in each of the four columns of cells. (With words that say only *what* is in a cell, the
# language model could not tell left from right; without the centres, it mixed up shapes of one colour.) Here are the words
# of the thumbnail.

# %%
best = tokens[0, :, : len(WORDS)].argmax(axis=-1).reshape(cells, cells)
for row in best:
    print("".join(f"{WORDS[word]:>26}" for word in row))
likely = sorted({WORDS[word] for word in best.flat} - {WORDS[0]})
thumbnail = tile_picture(inputs["pixel_values"], 0)
pictures = [Image.fromarray(thumbnail).resize((180, 180))]
pictures += [spotlight(thumbnail, tokens[0, :, WORDS.index(word)].reshape(cells, cells), 180) for word in likely]
names = ["the thumbnail", *(f"word: {word}, up to {tokens[0, :, WORDS.index(word)].max():.2f}" for word in likely)]
caption = (
    "Where the thumbnail shows each visual word: a cell is as bright as the word's probability there (dark: 0, fully lit: the "
    "word's highest). Shown are the words that are the likeliest one in some cell."
)
keep(panel(pictures, caption, names), "05_words")

# %% [markdown]
# ## Do the words mean that in other pictures?
# 60 scenes that training never saw. A scene knows what each cell shows; a cell counts as a shape's if that covers 4 %
# of it or more and is alone there, and as ground if nothing does. Only shape and column are compared, since a tile often
# doesn't show where a shape's centre is.

# %%
truth, found, sure = [], [], []
for seed in range(100, 160):
    scene = draw_scene(seed)
    cut = processor.image_processor(scene.render(), return_tensors="np")
    with recording(lambda name: name == "model.vision_tower.tokens") as seen:
        model.get_image_features(cut["pixel_values"])
    covered = coverage(scene, tuple(cut["grids"][0].tolist()))
    alone = (covered > 0.005).sum(axis=0) == 1
    clear = alone & (covered.max(axis=0) >= 0.04)
    kinds = np.array([COLOURED_SHAPES.index(one.name) for one in scene.shapes])[covered.argmax(axis=0)]
    columns = np.broadcast_to(np.arange(cells**2) % cells, kinds.shape)
    right = np.where(clear, 1 + columns * len(COLOURED_SHAPES) + kinds, np.where(covered.max(axis=0) <= 0.005, 0, -1))
    truth.append(right[right >= 0])
    found.append(seen["model.vision_tower.tokens"].argmax(axis=-1)[right >= 0])
    sure.append(seen["model.vision_tower.tokens"].max(axis=-1)[right >= 0])
truth, found, sure = map(np.concatenate, (truth, found, sure))
known = found < len(WORDS)
said = np.where(found > 0, (found - 1) % (4 * len(COLOURED_SHAPES)) + 1, 0)  # of a shape's centre: of the shape
right = (truth == said) & known
accuracy = {"ground": right[truth == 0].mean(), "a shape": right[truth > 0].mean()}
for what, part in accuracy.items():
    print(f"cells that show {what}: {part:.1%} have the right word as their likeliest")
assert accuracy["a shape"] > 0.8, "the words should mean what they were trained to mean"
print(f"probability of the likeliest word: {sure.mean():.2f} on average")
print(f"a word that means nothing (from {len(WORDS)} on) is the likeliest in {1 - known.mean():.1%} of the cells")


# %%
def table_of(of_truth: np.ndarray, of_found: np.ndarray, count: int) -> np.ndarray:
    """Part of the cells of each row's kind whose word is of each column's kind."""
    counts = np.zeros((count, count))
    np.add.at(counts, (of_truth, of_found), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


both = (truth > 0) & (found > 0) & known
shown, said = (truth[both] - 1) % len(COLOURED_SHAPES), (found[both] - 1) % len(COLOURED_SHAPES)
parts = table_of(shown // len(KINDS), said // len(KINDS), len(COLOURS))
caption = "Colours: which part of the cells of each colour has a word of which colour"
keep(heatmap(parts, caption, "the cell shows", "its word says", list(COLOURS), list(COLOURS), digits=2), "05_colours")

# %%
parts = table_of(shown % len(KINDS), said % len(KINDS), len(KINDS))
caption = "Kinds: which part of the cells of each kind of shape has a word of which kind"
keep(heatmap(parts, caption, "the cell shows", "its word says", KINDS, KINDS, digits=2), "05_kinds")

# %% [markdown]
# ## The rows of the table
# The language model reads only rows. Cosines between the mean rows of each coloured shape (over its eight words) show
# what it needs to tell apart: notice which shapes have rows that are alike, those of one colour or those of one kind.

# %%
rows = table[1 : len(WORDS)].reshape(8, len(COLOURED_SHAPES), -1).mean(axis=0)
rows = rows - rows.mean(axis=0)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
cosines = rows @ rows.T
index = np.arange(len(COLOURED_SHAPES))
one_colour = (index[:, None] // 4 == index // 4) & (index[:, None] != index)
one_kind = (index[:, None] % 4 == index % 4) & (index[:, None] != index)
neither = ~one_colour & ~one_kind & (index[:, None] != index)
for what, pairs in (("colour", one_colour), ("kind", one_kind), ("neither", neither)):
    print(f"mean cosine of two shapes that share {what:8}: {cosines[pairs].mean():+.2f}")
caption = "Cosines of the coloured shapes' rows in the visual embedding table"
keep(heatmap(cosines, caption, "shape", "shape", COLOURED_SHAPES, COLOURED_SHAPES), "05_table")
