# %% [markdown]
# # 09. Grouped-query attention, and where the model looks when it says "red"
#
# The language model's attention is that of walkthrough 04 with three changes: a token sees no later token (the causal
# mask), queries and keys are rotated by their positions (08), and several query heads share one head of keys and
# values. The code that runs is `ovis2_ref/language/attention.py`; in the one file, `ovis2.py`, it is `attention`,
# `causal` and `attend`. Ainslie et al., 2023, "GQA", section 2.2; Yang et
# al., 2024, "Qwen2 Technical Report", section 2.2.

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import heatmap
from show import SCENE, TINY, answer, ask, check, coverage, keep, load, on_picture, panel, shape, spotlight

from ovis2_ref import recording
from ovis2_ref.tiny.training.questions import listed
from ovis2_ref.tiny.training.scenes import draw_scene

model, processor = load()
text = model.config.text_config
heads, groups, d = text.num_attention_heads, text.num_key_value_heads, text.head_dim
inputs = ask(processor, SCENE.render())
prompt = inputs["input_ids"].shape[1]
ids = model.generate(**inputs, max_new_tokens=40)
with recording() as values:
    model(input_ids=ids, pixel_values=inputs["pixel_values"])
name = "model.language_model.layers."

# %% [markdown]
# ## Fewer keys and values than queries
# Every token read later needs the keys and values of all tokens before it, so they are kept (walkthrough 10). To keep
# less, query heads 0 to g - 1 share the first key and value head, the next g the second. Qwen2 has a bias on q, k and
# v, and none on the output.

# %%
part = model.parts / "model" / "language_model" / "layers" / 0 / "self_attn"
x = values[f"{name}0.input_layernorm.output"]
q, k, v = (x @ (part / f"{which}_proj")["weight"].T + (part / f"{which}_proj")["bias"] for which in "qkv")
shape("q (b, t, heads d)", q)
shape("k (b, t, key heads d)", k)
g = heads // groups
print(f"{heads} query heads, {groups} key and value heads: each is shared by {g}; the cache is {g} times smaller")

# %% [markdown]
# ## The causal mask
# Token i may look at tokens 0 to i: a query that saw later tokens would see the answer in training. A large negative
# number is added to the scores of later tokens, and softmax makes 0 of it.

# %%
t = ids.shape[1]
mask = np.where(np.arange(t)[:, None] >= np.arange(t), 0, np.finfo(np.float32).min)
q, k = (values[f"{name}0.self_attn.{which}_rotated"] for which in "qk")
v = v.reshape(1, t, groups, d).transpose(0, 2, 1, 3)
context = np.empty((1, heads, t, d), np.float32)
weights = np.empty((1, heads, t, t), np.float32)
for h in range(heads):
    scores = q[:, h] @ k[:, h // g].swapaxes(1, 2) / np.sqrt(d) + mask
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights[:, h] = e / e.sum(axis=-1, keepdims=True)
    context[:, h] = weights[:, h] @ v[:, h // g]
check("weights (b, heads, t, t)", weights, values[f"{name}0.self_attn.weights"])
joined = context.transpose(0, 2, 1, 3).reshape(1, t, heads * d)
check("context (b, t, heads d)", joined, values[f"{name}0.self_attn.context"])
out = joined @ (part / "o_proj")["weight"].T
check("attention output (b, t, H)", out, values[f"{name}0.self_attn.o_proj.output"])
attention = ovis2.read_weights(TINY)["model"]["language_model"]["layers"]["0"]["attention"]
check("ovis2.attention", ovis2.attention(x[0], attention, ovis2.read_config(TINY)["text_config"], []), out[0])
for i in range(text.num_hidden_layers):
    seen = values[f"{name}{i}.self_attn.weights"]
    assert (np.triu(seen, 1) == 0).all(), f"in layer {i} of the model a token looks at a later one"

# %% [markdown]
# ## The whole text at a glance
# One layer, mean over its heads: rows are the tokens that look, columns the tokens that are looked at. Above the
# diagonal all is white: the future. The last rows are the answer.

# %%
which = 1
seen = values[f"{name}{which}.self_attn.weights"][0].mean(axis=0)
marks = {0: "text", int(np.flatnonzero(ids[0] == model.config.image_token_id)[0]): "thumbnail"}
atoms = np.flatnonzero(ids[0] == model.config.image_token_id).reshape(len(inputs["pixel_values"]), -1)
marks |= {int(tile[0]): f"tile {i}" if i else "thumbnail" for i, tile in enumerate(atoms)}
marks |= {int(atoms[-1, -1]) + 2: "question", prompt: "answer"}
labels = [marks.get(i, "") for i in range(t)]
below = [label.replace("question", "") for label in labels]  # there is no room for it beside "answer"
caption = f"Layer {which}: square roots of the attention weights, mean over heads"
keep(heatmap(np.sqrt(seen), caption, "the token that looks", "the token that is looked at", labels, below), "09_text")

# %% [markdown]
# ## Where it looks before it says "red"
# The word after position i is chosen at position i. So take the token before " red" in the answer, and look up its
# weights on the visual tokens, laid out as these lie in the picture.

# %%
words = [processor.decode([token]) for token in ids[0]]
colour = SCENE.shapes[-1].colour
asking = prompt + [word.strip() for word in words[prompt:]].index(colour) - 1
grid = tuple(processor.image_processor(SCENE.render(), return_tensors="np")["grids"][0].tolist())
covered = coverage(SCENE, grid)[-1] > 0.04  # the cells of the red shape, (tiles, tokens)
print("answer:", "".join(words[prompt:]), f"\nchosen at {words[asking]!r}: {words[asking + 1]!r}")
above, below = [Image.fromarray(SCENE.render()).resize((160, 128))], [Image.new("RGB", (160, 128), (255, 255, 255))]
names_above, names_below = ["the picture"], [" "]
for i in range(text.num_hidden_layers):
    looks = values[f"{name}{i}.self_attn.weights"][0, :, asking][:, atoms]  # (heads, tiles, tokens)
    h = int(looks[:, covered].sum(axis=-1).argmax())
    above.append(spotlight(SCENE.render(), looks[h, 0].reshape(4, 4), 160, looks[h].max()))
    below.append(spotlight(SCENE.render(), on_picture(looks[h], grid), 160, looks[h].max()))
    names_above.append(f"layer {i}, head {h}: {looks[h, 0].sum():.2f} on the thumbnail")
    names_below.append(f"and {looks[h, 1:].sum():.2f} on the tiles")
caption = (
    f'Where the model looks when it chooses "{colour}": in each layer, the head that looks most at that shape. Above: the '
    "attention on the thumbnail, below: on the tiles, laid out as in the picture. Fully lit: the most attended cell; dark: none."
)
keep(panel(above + below, caption, names_above + names_below, columns=len(above)), "09_red")

# %% [markdown]
# ## In 25 scenes, head by head
# How much of its attention a head has on the cells of a shape when the shape's colour is chosen, and when its kind is
# (one token later). Chance is what uniform attention would give: the cells of the shape, divided by the tokens that the
# query sees.

# %%
totals = {"colour": np.zeros((text.num_hidden_layers, heads)), "kind": np.zeros((text.num_hidden_layers, heads))}
chance, count = 0.0, 0
for seed in range(300, 325):
    scene = draw_scene(seed)
    given = ask(processor, scene.render())
    if answer(model, processor, given) != listed(scene.shapes):
        continue
    said = model.generate(**given, max_new_tokens=40)
    with recording(lambda tap: tap.endswith("self_attn.weights")) as looks:
        model(input_ids=said, pixel_values=given["pixel_values"])
    cut = processor.image_processor(scene.render(), return_tensors="np")
    parts = coverage(scene, tuple(cut["grids"][0].tolist())).reshape(len(scene.shapes), -1) > 0.04
    places = np.flatnonzero(said[0] == model.config.image_token_id)
    spoken = [processor.decode([token]).strip() for token in said[0, given["input_ids"].shape[1] :]]
    for cells, one in zip(parts, scene.shapes, strict=True):
        if spoken.count(one.colour) != 1:
            continue
        before = given["input_ids"].shape[1] + spoken.index(one.colour) - 1
        for i in range(text.num_hidden_layers):
            on_cells = looks[f"{name}{i}.self_attn.weights"][0][:, :, places[cells]].sum(axis=-1)
            totals["colour"][i] += on_cells[:, before]
            totals["kind"][i] += on_cells[:, before + 1]
        chance, count = chance + cells.sum() / (before + 1), count + 1
print(f"{count} shapes; by chance {chance / count:.3f} of the attention would be on a shape's cells")
both = np.concatenate([total / count for total in totals.values()], axis=1)
rows = [str(i) for i in range(text.num_hidden_layers)]
columns = [f"{what}\nhead {h}" for what in totals for h in range(heads)]
caption = f"Attention on a shape's cells when its colour or kind is chosen: mean of {count} shapes (chance: {chance / count:.2f})"
keep(heatmap(both, caption, "layer", "what is chosen, and head", rows, columns, digits=2), "09_heads")

# %%
best = {what: float(total.max() / count) for what, total in totals.items()}
assert min(best.values()) > 2 * chance / count, "some head should look at a shape when it names it"
for what, total in totals.items():
    i, h = divmod(int(total.argmax()), heads)
    print(f"the head that looks most at a shape when its {what} is chosen: layer {i}, head {h}, {best[what]:.2f}")
