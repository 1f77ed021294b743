# %% [markdown]
# # 16. Training the tiny model: what was supervised
#
# The tiny model learned from drawn scenes, whose truth is known, in three stages: the vision tower alone, the language
# model alone on made-up visual tokens, and the language model on what the tower sees. `python -m ovis2_ref.tiny.training
# --work FOLDER` trains one again (see `ovis2_ref/tiny/README.md`). What training minimises is shown here: the labels, the
# two losses, a gradient by hand, and a visual head trained anew in a moment. The one file, `ovis2.py`, has the forward pass
# that is trained; the losses are here.

# %%
import csv

import numpy as np
from plots import bars, curves
from show import TINY, WORDS, ask, centres, coverage, keep, load, shape

from ovis2_ref import Ovis2ForConditionalGeneration, recording
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.ops import softmax
from ovis2_ref.tiny.training.evaluate import USUAL
from ovis2_ref.tiny.training.questions import ask as make_question
from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, FIRST_TRAINING_SEED, draw_scene

model, processor = load()
untrained = Ovis2ForConditionalGeneration(model.config, random_weights(model.config, seed=0))

# %% [markdown]
# ## Stage 1: every cell has a right word
# A scene knows which part of each cell its shapes cover. Word 0: nothing there. Word 1 + 24 column + shape: the shape
# that covers the cell; and 96 words further on, the shape whose centre lies in it. A cell with too little of a shape, or
# with two shapes alike, gets no label and is ignored; so is a cell with a centre in a tile that shows a part of the
# picture, since a shape may be cut there.


# %%
def labels_of(scene, grid: tuple[int, int]) -> np.ndarray:
    """Return the right word of every visual token, (tiles, tokens); -100 where none is asked for."""
    covered, centre = coverage(scene, grid), centres(scene, grid)
    is_centre = centre.any(axis=0)
    owner = np.where(is_centre, centre.argmax(axis=0), covered.argmax(axis=0))
    own, total = np.take_along_axis(covered, owner[None], axis=0)[0], covered.sum(axis=0)
    shapes = np.array([COLOURED_SHAPES.index(one.name) for one in scene.shapes])[owner]
    words = 1 + (4 * is_centre + np.arange(16) % 4) * len(COLOURED_SHAPES) + shapes
    whole = np.arange(len(own))[:, None] == 0  # the first tile
    clear = np.where(is_centre, whole, (own >= 0.04) & (own > 2 * (total - own)))
    return np.where(clear, words, np.where(total <= 0.005, 0, -100))


def tokens_of(one, scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a model's visual tokens of a scene, its merged features, and the labels."""
    cut = processor.image_processor(scene.render(), return_tensors="np")
    with recording(lambda name: name in ("model.vision_tower.tokens", "model.vision_tower.merged")) as values:
        one.get_image_features(cut["pixel_values"])
    labels = labels_of(scene, tuple(cut["grids"][0].tolist()))
    return values["model.vision_tower.tokens"], values["model.vision_tower.merged"], labels


scene = draw_scene(3237)
tokens, merged, labels = tokens_of(model, scene)
shape("labels (n, P/s^2)", labels)
print("labels of the thumbnail:")
for row in labels[0].reshape(4, 4):
    print("".join(f"{WORDS[word] if word >= 0 else '(not asked)':>26}" for word in row))

# %% [markdown]
# ## The loss of stage 1: cross-entropy
# The mean of -log p(right word) over the cells with a label: 0 for a model that is sure and right, log V for one that
# knows nothing.


# %%
def word_loss(tokens: np.ndarray, labels: np.ndarray) -> float:
    asked = labels >= 0
    return float(-np.log(tokens[asked, labels[asked]] + 1e-30).mean())


held_out = [draw_scene(seed) for seed in range(200, 215)]
losses = {}
for name, one in (("trained", model), ("drawn weights", untrained)):
    pairs = [tokens_of(one, scene) for scene in held_out]
    losses[name] = float(np.mean([word_loss(tokens, labels) for tokens, _, labels in pairs]))
losses["every word alike: log V"] = float(np.log(tokens.shape[-1]))
print({name: round(value, 3) for name, value in losses.items()})
assert losses["trained"] < 0.3 * losses["every word alike: log V"], "the trained words should be far better than chance"

# %% [markdown]
# ## Its gradient, by hand
# For p = softmax(z) and the right word y, the derivative of -log p_y by z is p - onehot(y): push down what was too
# likely, push up the right word. It is checked by moving each score a little.

# %%
z = np.random.default_rng(0).standard_normal(8)
y, step = 3, 1e-6
gradient = softmax(z) - np.eye(8)[y]
moved = [(np.log(softmax(z - step * e)[y]) - np.log(softmax(z + step * e)[y])) / (2 * step) for e in np.eye(8)]
np.testing.assert_allclose(gradient, moved, atol=1e-6, err_msg="the derivative should be p - onehot(y)")
print("p - onehot(y):", np.round(gradient, 3))

# %% [markdown]
# ## A head trained anew
# Throw the head away, keep the features that lie before it, and learn a new one by that gradient: z = x W, dL/dW = x^T
# (p - onehot). 30 scenes of training's own seeds; the accuracy is of scenes that training never saw.


# %%
def dataset(seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Merged features (cells, s^2 D), scaled to length 1, and labels of the cells that have one."""
    parts = [tokens_of(model, draw_scene(seed))[1:] for seed in seeds]
    x = np.concatenate([merged[labels >= 0] for merged, labels in parts])
    return x / np.linalg.norm(x, axis=-1, keepdims=True), np.concatenate([labels[labels >= 0] for _, labels in parts])


x, y = dataset(range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 30))
x_new, y_new = dataset(range(200, 215))
W = np.zeros((x.shape[1], len(WORDS)), np.float32)
at, right, loss = [], [], []
for number in range(151):
    p = softmax(x @ W)
    if number % 10 == 0:
        at.append(number)
        loss.append(float(-np.log(p[np.arange(len(y)), y] + 1e-30).mean()))
        right.append(float(((x_new @ W).argmax(axis=-1) == y_new)[y_new > 0].mean()))
    p[np.arange(len(y)), y] -= 1
    W -= 40 * (x.T @ p) / len(y)
own_right = float(
    np.mean([(p.argmax(axis=-1) == y)[y > 0].mean() for p, _, y in (tokens_of(model, one) for one in held_out)])
)
print(f"after {at[-1]} steps: loss {loss[-1]:.2f}; {right[-1]:.0%} of the new cells that show a shape are right")
print(f"the tower's own head: {own_right:.0%} of the same cells are right")
assert loss[-1] < loss[0] / 2 and right[-1] > 0.3, "the features should hold the words for a linear head to find"
series = {"loss (training scenes)": (at, loss), "part right, of new cells with a shape": (at, right)}
keep(curves(series, "A new head on the trained features", "step", "loss; part right"), "16_head")

# %% [markdown]
# What to notice: 150 steps on 30 scenes find far more than chance (1 word of 193), and far less than the tower's own head,
# which saw thousands of scenes and was trained together with the features. The features hold the words; a head needs more
# examples of each word to read them out.

# %% [markdown]
# ## Stages 2 and 3: only answers are supervised
# The text's loss is the mean of -log p(next token), taken over the tokens of the answer alone: tokens with the label
# -100 are ignored. Here it is for one question, from `loss` and from the formula.

# %%
question = make_question(scene, "describe", np.random.default_rng(0))
inputs = ask(processor, scene.render(), question.request)
answer = processor.tokenizer.encode(question.answer + "<|im_end|>")
ids = np.concatenate([inputs["input_ids"][0], answer])[None]
labels = np.where(np.arange(ids.size) < inputs["input_ids"].size, -100, ids[0])[None]
output = model(input_ids=ids, pixel_values=inputs["pixel_values"], labels=labels)
p = softmax(output.logits[0, -len(answer) - 1 : -1])[np.arange(len(answer)), answer]
np.testing.assert_allclose(
    output.loss, -np.log(p).mean(), rtol=1e-3, atol=1e-6, err_msg="the loss is the mean of -log p"
)
print(f"{question.request!r} -> {question.answer!r}: loss {float(output.loss):.4f}")

# %%
by_kind = {}
for kind in USUAL:
    values = []
    for seed in range(200, 208):
        one = draw_scene(seed)
        question = make_question(one, kind, np.random.default_rng(seed))
        if question is None:
            continue
        given = ask(processor, one.render(), question.request)
        answer = processor.tokenizer.encode(question.answer + "<|im_end|>")
        ids = np.concatenate([given["input_ids"][0], answer])[None]
        labels = np.where(np.arange(ids.size) < given["input_ids"].size, -100, ids[0])[None]
        values.append(float(model(input_ids=ids, pixel_values=given["pixel_values"], labels=labels).loss))
    by_kind[kind] = float(np.mean(values))
caption = "Loss of the answers to each kind of question (8 scenes that training never saw)"
keep(bars(by_kind, caption, "mean of -log p, logarithmic", digits=2, log=True), "16_kinds")

# %% [markdown]
# What to notice: all are small. A loss of 0.001 means that the right token gets a probability of 99.9 % on average; so it
# is the ratio of two bars that says something, and the axis is logarithmic.

# %% [markdown]
# ## How it went
# The log of the training that made this checkpoint: what part of the held-out cells (vision) and answers (language,
# pictures) was right.

# %%
log = next(TINY.parent.rglob("log.csv"))
rows = list(csv.DictReader(log.read_text().splitlines()))
series = {}
for stage in dict.fromkeys(row["stage"] for row in rows):
    of_stage = [row for row in rows if row["stage"] == stage]
    steps, right = ([float(row[key]) for row in of_stage] for key in ("step", "right"))
    series[stage] = (steps, right)
    below = np.maximum.accumulate(right) - right
    print(f"{stage}: {steps[-1]:.0f} steps, {right[-1]} % right at the end;", end=" ")
    print(
        f"deepest dip: {right[below.argmax()]} % at step {steps[below.argmax()]:.0f}, after {max(right[: below.argmax() + 1])} %"
    )
keep(
    curves(series, "What was right after each stage's steps", "step", "per cent of held-out cells or answers"), "16_log"
)

# %% [markdown]
# What to notice: the language stage has a deep dip before it ends near 100 %. Up to then its learning rate is high (column
# `rate` of the log), and an update that helps one kind of question can spoil another; as the rate decays, the dips end.
# A checkpoint taken in a dip gives many wrong answers: look at the curve before you stop a run.
