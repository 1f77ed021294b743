# %% [markdown]
# # 02. The grid, the tiles, and the pixel values
#
# The vision transformer takes squares of one size. A larger picture is cut into a grid of tiles, and comes once more as
# a whole, small: the thumbnail. How many rows and columns? The code that runs is `ovis2_ref/image/tiling.py`,
# `cutting.py` and `values.py`; in the one file, `ovis2.py`, it is `covering_area`, `covering_grid`, `cut_canvas` and
# `pillow_values`.

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import bars, heatmap
from show import SCENE, keep, large_tiles, load, panel, shape

from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.image.resize import pillow_resize
from ovis2_ref.image.tiling import candidate_grids, covering_area, covering_grid, split_regions
from ovis2_ref.tiny.training.scenes import draw_scene
from ovis2_ref.tools.draw import draw_grid

model, processor = load()
images = processor.image_processor
side, most = images.size["height"], images.max_patches
print(f"tiles of {side} x {side} pixels, {most} at most (and the thumbnail)")

# %% [markdown]
# ## How good is a grid?
# Cut the picture into the grid's regions, and bring each region's longer edge down to the side of a tile, its aspect
# ratio kept. What survives of the region's pixels is its covering area:
#
#     l, s: longer and shorter edge      l s  if l <= side,  else  side * (s / l * side)
#
# The grid's score is the part of the picture's pixels that survive in all regions together.

# %%
height, width = 100, 170
grids = candidate_grids(1, most)
scores = {}
for rows, columns in grids:
    kept = 0.0
    for left, upper, right, lower in split_regions(height, width, (rows, columns)):
        longer, shorter = max(right - left, lower - upper), min(right - left, lower - upper)
        area = longer * shorter if longer <= side else side * (shorter / longer * side)
        assert area == covering_area((left, upper, right, lower), side), "covering_area is another formula"
        kept += area
    scores[rows, columns] = kept / (height * width)
print(f"{len(grids)} grids of up to {most} tiles; for a picture of {width} x {height}:")

# %% [markdown]
# ## The choice
# Take the grid of the fewest tiles that keeps more than 90 % of the pixels; among grids with that many tiles, the one
# that keeps most. If no grid keeps 90 %, take the one that keeps most of all.

# %%
enough = {grid: score for grid, score in scores.items() if score > 0.9}
chosen = min(enough, key=lambda grid: (grid[0] * grid[1], -enough[grid]))
assert chosen == covering_grid(height, width, side, most), "covering_grid is another rule"
assert chosen == ovis2.covering_grid(height, width, side, most), "ovis2.py has another rule"
best = dict(sorted(scores.items(), key=lambda item: (item[0][0] * item[0][1], -item[1])))
named = {
    f"{rows} x {columns}{' (chosen)' if (rows, columns) == chosen else ''}": score
    for (rows, columns), score in best.items()
}
keep(
    bars(
        named, f"How much of a {width} x {height} picture each grid (rows x columns) keeps", "part of the pixels kept"
    ),
    "02_scores",
)

# %% [markdown]
# ## transformers turns the grid on its side
# The search gives (rows, columns), and transformers takes it for (columns, rows). A picture that is twice as wide as
# high is then cut into two rows. The authors' program does not do that; `convention` says which one is computed
# (walkthrough 14 tells all the differences). The tiny model was trained with transformers, so it expects the turned
# grid.

# %%
wide = Image.fromarray(draw_scene(3237).render()).resize((170, 80))
ours = {name: Ovis2ImageProcessor.from_dict(images.to_dict(), name) for name in ("transformers", "original")}
cuts = {name: program(wide, return_tensors="np") for name, program in ours.items()}
found = {name: tuple(cut["grids"][0].tolist()) for name, cut in cuts.items()}
print(found)
assert found["transformers"] == found["original"][::-1], "one grid is the other, turned"
pictures = [draw_grid(np.asarray(wide), grid) for grid in found.values()]
pictures += [large_tiles(cuts[name]["pixel_values"], grid) for name, grid in found.items()]
names = [f"{name}: {grid[0]} x {grid[1]}" for name, grid in found.items()] + ["its tiles", "its tiles"]
keep(
    panel(pictures, "The grids of the two programs, and what their models see of the same picture", names, columns=2),
    "02_programs",
)

# %% [markdown]
# ## Cut
# The picture is resized to the canvas of the grid, rows * side by columns * side, its aspect ratio lost, and the canvas
# is cut. The thumbnail is the whole picture, resized to one tile.

# %%
picture = SCENE.render()
cut = images(picture, return_tensors="np")
grid = tuple(cut["grids"][0].tolist())
levels = picture.transpose(2, 0, 1)
canvas = pillow_resize(levels, (grid[0] * side, grid[1] * side))
tiles = canvas.reshape(3, grid[0], side, grid[1], side).transpose(1, 3, 0, 2, 4).reshape(-1, 3, side, side)
tiles = np.concatenate([pillow_resize(levels, (side, side))[None], tiles])
shape("tiles (n, 3, S, S), bytes", tiles)

# %% [markdown]
# ## Pixel values: (level / 255 - mean) / std
# Each channel with its own mean and standard deviation, those of the pictures that the ViT was first trained on.

# %%
mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (images.image_mean, images.image_std))
values = ((tiles * (1 / 255)).astype(np.float32) - mean) / std
assert np.array_equal(values, cut["pixel_values"]), "the processor's pixel values are others"
shape("pixel values (n, 3, S, S)", values)
print(f"mean {images.image_mean}, std {images.image_std}; values from {values.min():.2f} to {values.max():.2f}")
keep(
    panel(
        [draw_grid(picture, grid), large_tiles(values, grid)],
        "The sample: its grid, and its tiles as the model sees them",
    ),
    "02_tiles",
)

# %% [markdown]
# ## Which grid for which picture
# The number of tiles for pictures of 40 to 240 pixels a side. The steps are where one more tile begins to pay.

# %%
sizes = np.arange(40, 241, 20)
counts = np.array([[np.prod(covering_grid(int(h), int(w), side, most)) for w in sizes] for h in sizes], float)
assert counts[0, 0] == 1 and counts.max() <= most, "small pictures are one tile, and no picture is more than the most"
labels = [str(size) for size in sizes]
caption = "Tiles (without the thumbnail) for a picture of each size"
keep(heatmap(counts, caption, "height in pixels", "width in pixels", labels, labels, digits=0), "02_counts")
