# %% [markdown]
# # 01. Resizing a picture, to the bit
#
# Before a picture is cut it is resized, and the model's input depends on every bit of that. Resizing is two matrix
# products with small matrices that are nearly all zeros. The code that runs is `ovis2_ref/image/filters.py` (the
# weights) and `ovis2_ref/image/resize.py` (the products); in the one file, `ovis2.py`, it is `bicubic`, `windows` and
# `pillow_resize`. Source: Pillow, src/libImaging/Resample.c; Keys, 1981, "Cubic
# convolution interpolation for digital image processing".

# %%
import numpy as np
import ovis2
from PIL import Image
from plots import curves
from show import SCENE, keep, panel, shape

from ovis2_ref.image.filters import FILTERS, bicubic, fixed_point, windows
from ovis2_ref.image.resize import pillow_resize, torch_resize, vertical_first
from ovis2_ref.tools.draw import draw_weights

picture = SCENE.render().transpose(2, 0, 1)  # channels first, as everywhere in the model
shape("picture (3, h, w)", picture)

# %% [markdown]
# ## The filter
# A new pixel is a weighted mean of the old ones around its place. The filter says the weight at distance x (in pixels).
# Bicubic looks two pixels to each side, and its weights are negative between 1 and 2: that sharpens edges.
#
#     |x| < 1:  (a + 2) |x|^3 - (a + 3) |x|^2 + 1
#     |x| < 2:  a |x|^3 - 5 a |x|^2 + 8 a |x| - 4 a,       a = -1/2

# %%
x = np.linspace(-3, 3, 121)
near, a = np.abs(x), -0.5
cubic = np.where(
    near < 1, (a + 2) * near**3 - (a + 3) * near**2 + 1, a * near**3 - 5 * a * near**2 + 8 * a * near - 4 * a
)
cubic = np.where(near < 2, cubic, 0)
np.testing.assert_allclose(cubic, bicubic(x), atol=1e-12, err_msg="the formula is not the function's")
series = {name: (x, FILTERS[name].value(x)) for name in ("box", "bilinear", "bicubic", "lanczos")}
keep(
    curves(series, "Four filters: the weight of a pixel by its distance", "distance in pixels", "weight"), "01_filters"
)

# %% [markdown]
# ## The weights of one axis
# From `in` pixels to `out`: new pixel i lies at c = (i + 1/2) in / out on the old axis. When a picture shrinks, the
# filter is stretched by in / out, so that no old pixel is skipped (that is what "antialias" means). Each row is divided
# by its sum.

# %%
size_in, size_out = picture.shape[2], 64
scale = size_in / size_out
stretch = max(scale, 1.0)
weights = np.zeros((size_out, size_in))
for i in range(size_out):
    centre = (i + 0.5) * scale
    first, last = int(max(centre - 2 * stretch + 0.5, 0)), int(min(centre + 2 * stretch + 0.5, size_in))
    row = bicubic((np.arange(first, last) - centre + 0.5) / stretch)
    weights[i, first:last] = row / row.sum()
band = windows(size_in, size_out, FILTERS["bicubic"])
np.testing.assert_allclose(weights, band.matrix(), atol=1e-12, err_msg="the weights are not the function's")
np.testing.assert_allclose(weights, ovis2.windows(size_in, size_out), atol=2**-22, err_msg="ovis2.py has other weights")
print(f"{size_in} -> {size_out} pixels: {(weights != 0).sum(axis=1).max()} weights in a row of {size_in}")

# %%
down, up = windows(40, 16, FILTERS["bicubic"]).matrix(), windows(16, 40, FILTERS["bicubic"]).matrix()
caption = "W of one pass: a row for each new pixel, a column for each old one; red positive, blue negative"
keep(
    panel([draw_weights(down), draw_weights(up)], caption, ["40 to 16 pixels: stretched", "16 to 40 pixels"]),
    "01_weights",
)

# %% [markdown]
# ## Bytes and fixed point
# Pillow computes with integers: weights are rounded to multiples of 2^-22, and after each pass the sums are rounded to
# bytes. Products of such numbers fit into float64 exactly, so a matrix product in any order gives the same bits:
#
#     out = clip(floor(W x + 1/2), 0, 255)

# %%
W = {axis: windows(picture.shape[axis], 64, FILTERS["bicubic"]) for axis in (1, 2)}
W = {axis: fixed_point(band.weights, 22) for axis, band in W.items()}
full = {}
for axis in (1, 2):
    band = windows(picture.shape[axis], 64, FILTERS["bicubic"])
    full[axis] = band._replace(weights=W[axis]).matrix()


def to_bytes(sums: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(sums + 0.5), 0, 255)


print("the vertical pass first?", vertical_first(picture.shape[1:], (64, 64), "13"))
across = to_bytes(picture @ full[2].T)
resized = to_bytes(full[1] @ across).astype(np.uint8)
assert np.array_equal(resized, pillow_resize(picture, (64, 64))), "two products should give pillow_resize's bytes"
shape("resized (3, 64, 64)", resized)

# %% [markdown]
# Pillow itself, asked for the same (one axis at a time, so that the order of passes is the same in all its versions),
# gives the same bytes.

# %%
horizontal = Image.fromarray(picture.transpose(1, 2, 0)).resize((64, picture.shape[1]), Image.Resampling.BICUBIC)
by_pillow = np.asarray(horizontal.resize((64, 64), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
assert np.array_equal(by_pillow, resized), "Pillow and pillow_resize differ"
print("every byte is Pillow's")

# %% [markdown]
# ## What moves a bit
# The other order of the two passes; the same weights not rounded; and torch's rounding, which keeps fewer bits of a
# weight. None of it can be seen, all of it is another input to the model.

# %%
other_order = to_bytes(to_bytes(full[1] @ picture) @ full[2].T)
exact = {axis: windows(picture.shape[axis], 64, FILTERS["bicubic"]).matrix() for axis in (1, 2)}
unrounded = to_bytes(exact[1] @ to_bytes(picture @ exact[2].T))
once = to_bytes(full[1] @ picture @ full[2].T)
by_torch = torch_resize(picture, (64, 64)).astype(float)
for name, made in (
    ("other order", other_order),
    ("weights not rounded", unrounded),
    ("rounded once", once),
    ("torch", by_torch),
):
    off = np.abs(made - resized)
    print(f"{name:22} {(off > 0).mean():8.3%} of the bytes differ, by {off.max():.0f} at most")

# %% [markdown]
# ## What the choice of filter looks like
# The red circle, from the 64 pixel thumbnail and enlarged. Nearest takes one pixel of every few; notice its edge.

# %%
pictures, names = [], []
for name in ("nearest", "box", "bilinear", "bicubic", "lanczos"):
    small = pillow_resize(picture, (64, 64), name)[:, 40:60, 42:62].transpose(1, 2, 0)
    pictures.append(Image.fromarray(small).resize((140, 140), Image.Resampling.NEAREST))
    names.append(name)
keep(panel(pictures, "A corner of the thumbnail under five filters", names, columns=5), "01_shapes")
