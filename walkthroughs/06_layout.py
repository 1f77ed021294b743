# %% [markdown]
# # 06. How a picture stands in the prompt
#
# The language model reads one row of tokens. A picture of several tiles is laid out in that row: each tile as a run of
# placeholders, and between the runs five indicator tokens that say where the grid's rows and columns end. The code that
# runs is `ovis2_ref/text/layout.py` and `chat.py`; in the one file, `ovis2.py`, it is `image_placeholder` and
# `render_chat`.

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import bars
from show import SCENE, answer, ask, keep, load, panel

from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS, ORIGINAL_IDS, image_placeholder, picture_layout
from ovis2_ref.tiny.training.questions import listed
from ovis2_ref.tiny.training.scenes import draw_scene
from ovis2_ref.tools.draw import draw_grid

model, processor = load()
config = model.config
per_tile = config.vision_config.tokens_per_tile

# %% [markdown]
# ## The chat template
# The conversation becomes text first. `<image>` marks where the picture goes; `<|im_start|>` and `<|im_end|>` mark who
# speaks.

# %%
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
text = processor.apply_chat_template(messages, add_generation_prompt=True)
print(text)
assert text == ovis2.render_chat("<image>", "Describe the image."), "the one file should make the same prompt"

# %% [markdown]
# ## The layout of a grid
# <IMG_START>, the thumbnail, <IMG_GRID>, then the tiles row by row: <IMG_COL> between the tiles of a row, <IMG_ROW>
# between rows, and <IMG_END>. A picture of one tile is its own thumbnail, and nothing follows <IMG_GRID>. Here with one
# atom (@) for a tile:

# %%
for grid in ((1, 1), (1, 3), (2, 2), (3, 2)):
    print(grid, " ".join(picture_layout(grid)).replace(IMAGE_ATOM, "@"))


# %% [markdown]
# The same from the rule: tiles of a row joined by <IMG_COL>, rows by <IMG_ROW>.


# %%
def from_the_rule(grid: tuple[int, int]) -> str:
    start, end_of_thumbnail, column, row, end = INDICATORS
    tile = IMAGE_ATOM * per_tile
    rows = [column.join([tile] * grid[1])] * grid[0] if grid != (1, 1) else []
    return start + tile + end_of_thumbnail + row.join(rows) + end


for grid in ((1, 1), (1, 3), (2, 2), (3, 2)):
    assert from_the_rule(grid) == image_placeholder(grid, per_tile), f"the layout of {grid} is not the rule's"
    assert from_the_rule(grid) == ovis2.image_placeholder(grid, per_tile), f"ovis2.py lays {grid} out differently"

# %% [markdown]
# ## The row that the model reads
# `<image>` is replaced by the layout, each tile with as many atoms as it has visual tokens, and the whole is tokenised.
# Atoms and indicators are special tokens: each is one id.

# %%
inputs = ask(processor, SCENE.render())
ids = inputs["input_ids"][0]
grid = tuple(processor.image_processor(SCENE.render(), return_tensors="np")["grids"][0].tolist())
start, _, column, row, end = config.visual_indicator_token_ids
assert text.replace("<image>", image_placeholder(grid, per_tile)) == processor.decode(ids), "the prompt, put together"
print(f"{ids.size} tokens: {(ids == config.image_token_id).sum()} atoms,", end=" ")
print(f"{np.isin(ids, config.visual_indicator_token_ids).sum()} indicators, the rest text")

# %% [markdown]
# A square for each token of the prompt, in reading order.

# %%
side, across = 18, 32
kinds = np.where(ids == config.image_token_id, 2, np.where(np.isin(ids, config.visual_indicator_token_ids), 1, 0))
palette = [(225, 225, 225), (0, 0, 0), (230, 159, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (213, 94, 0)]
which = np.where(kinds == 2, 2 + (np.cumsum(kinds == 2) - 1) // per_tile, kinds)
squares = np.zeros((-(-ids.size // across) * across, 3), np.uint8) + 255
squares[: ids.size] = np.array(palette)[which]
squares = squares.reshape(-1, across, 3).repeat(side, axis=0).repeat(side, axis=1)
squares[::side], squares[:, ::side] = 255, 255
legend = [Image.new("RGB", (40, 14), colour) for colour in palette[: 2 + len(inputs["pixel_values"])]]
meaning = ["text", "indicator", "thumbnail", *(f"tile {i}" for i in range(1, len(inputs["pixel_values"])))]
strip = panel([Image.fromarray(squares)], f"The prompt, {across} tokens a line, from the first to the last")
picture = draw_grid(SCENE.render(), grid)
keep(
    panel([strip, panel(legend, "What each colour is", meaning, 7), picture], "A picture as the model reads it", (), 1),
    "06_prompt",
)

# %% [markdown]
# ## The grid can be read back
# Nothing but the indicators tells the model that tile 3 lies under tile 1.

# %%
inside = ids[np.flatnonzero(ids == start)[0] : np.flatnonzero(ids == end)[0]]
rows = 1 + int((inside == row).sum())
columns = 1 + int((inside == column).sum()) // rows
assert (rows, columns) == grid, "rows and columns follow from the indicators"
print(f"{(inside == row).sum()} x <IMG_ROW> and {(inside == column).sum()} x <IMG_COL>: {rows} rows, {columns} columns")

# %% [markdown]
# ## Two programs, one order
# transformers has a token in the vocabulary for each of the six. The authors write negative ids, which never reach the
# text table, one atom for a whole tile, and split the text at <image> before it is tokenised. The order is the same,
# and so is that of the last five rows of the visual embedding table, which the indicators get (walkthrough 07).

# %%
for token, number in ORIGINAL_IDS.items():
    print(
        f"{token:12} transformers (this checkpoint) {processor.tokenizer.convert_tokens_to_ids(token):4}, authors {number}"
    )

# %% [markdown]
# ## Does the tiny model read the indicators?
# 30 scenes of four tiles or more, described: as they are; with <IMG_COL> and <IMG_ROW> exchanged, which says that the
# grid stands on its side; and with the tiles (not the thumbnail) in a random order. Guess before you look.

# %%
right = {"as they are": 0, "rows and columns exchanged": 0, "tiles in random order": 0}
asked, seed = 0, 400
while asked < 30:
    scene, seed = draw_scene(seed), seed + 1
    given = ask(processor, scene.render())
    if len(given["pixel_values"]) < 5:
        continue
    asked += 1
    exchanged, shuffled = given["input_ids"].copy(), given["pixel_values"].copy()
    exchanged[given["input_ids"] == column], exchanged[given["input_ids"] == row] = row, column
    shuffled[1:] = shuffled[np.random.default_rng(seed).permutation(np.arange(1, len(shuffled)))]
    changed = ({}, {"input_ids": exchanged}, {"pixel_values": shuffled})
    for name, change in zip(right, changed, strict=True):
        right[name] += answer(model, processor, {**given, **change}) == listed(scene.shapes)
shares = {name: 100 * count / asked for name, count in right.items()}
keep(
    bars(shares, "Right descriptions after a change of the prompt", "per cent of 30 scenes", digits=0), "06_indicators"
)

# %% [markdown]
# If the bars are nearly alike, this model, whose scenes all fit into a thumbnail, has found that it needs neither the
# indicators nor the order of the tiles. A model that reads small print would. Walkthrough 07 takes the thumbnail away.

# %%
assert right["as they are"] >= 24, "the model describes most scenes correctly"
print(right)
