# %% [markdown]
# # 14. Two Ovis2s: one set of weights, two programs
#
# The authors' program trained the released weights. transformers runs the same weights with a program that computes
# something else at some places. Neither is mixed with the other here: a `Convention` is chosen when a model or a
# processor is made. `ovis2_ref/convention.py` is the list of differences. The one file, `ovis2.py`, computes what
# transformers computes: see the comments in `cut_canvas` and `vision_transformer`. Here the authors' small checkpoint (drawn
# weights, so its answers mean nothing) is run both ways and compared with what the authors' own code computed.

# %%
import json
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from PIL import Image
from plots import bars
from safetensors.numpy import load_file
from show import TESTS, check, keep, large_tiles, panel

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor, recording
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.convention import ORIGINAL, TRANSFORMERS
from ovis2_ref.tools.draw import draw_grid

folder = TESTS / "golden_original"
case = json.loads((folder / "cases.json").read_text())[1]
golden = {
    name.partition(".")[2]: value
    for name, value in load_file(folder / "golden.safetensors").items()
    if name.startswith("1.")
}
picture = Image.open(folder / case["image"]).convert("RGB")
print(f"a picture of {picture.width} x {picture.height}; the authors recorded:", ", ".join(golden))

# %% [markdown]
# ## The differences
# One field each. What is computed with one convention can't be compared with the other's golden values.

# %%
for field in fields(TRANSFORMERS):
    a, b = (getattr(convention, field.name) for convention in (TRANSFORMERS, ORIGINAL))
    print(f"{field.name:28} {a!s:14} {b!s:14}")

# %% [markdown]
# ## The authors' program, reproduced
# Pixel values to the bit, everything after them to float32 rounding, and the same twelve tokens.

# %%
authors = Ovis2ForConditionalGeneration.from_pretrained(folder / "checkpoint", convention="original")
processor = Ovis2Processor.from_pretrained(folder / "checkpoint", convention="original")
inputs = processor(images=picture, text=case["prompt"], return_tensors="np")
assert np.array_equal(inputs["pixel_values"], golden["pixel_values"]), "pixel values should be the authors', to the bit"
with recording() as values:
    output = authors(**inputs)
check("features (n, P/s^2, s^2 D)", values["model.vision_tower.merged"], golden["features"])
tokens = values["model.vision_tower.tokens"]
check("visual tokens (n, P/s^2, V)", tokens, golden["visual_tokens"][..., : tokens.shape[-1]])
check("embeddings (b, t, H)", values["model.language_model.inputs_embeds"], golden["inputs_embeds"])
check("logits (b, t, vocabulary)", output.logits, golden["logits"])
made = authors.generate(**inputs, max_new_tokens=12, min_new_tokens=12, eos_token_id=None)
assert np.array_equal(made[0, -12:], golden["generated"].reshape(-1)), "the twelve tokens should be the authors'"
print("twelve greedy tokens, the authors':", made[0, -12:].tolist())

# %% [markdown]
# ## The same picture, cut by both
# The authors cut first and then resize each part, its aspect ratio kept, padded with 0 after normalising. transformers
# resizes the whole picture to the canvas, and takes the grid's rows for columns.

# %%
converted = Path(tempfile.mkdtemp()) / "converted"
convert_original(folder / "checkpoint", converted)
theirs = Ovis2Processor.from_pretrained(converted)
cuts = {"the authors": processor.image_processor(picture), "transformers": theirs.image_processor(picture)}
pictures, names = [], []
for name, cut in cuts.items():
    grid = tuple(cut["grids"][0])
    pictures += [draw_grid(np.asarray(picture), grid), large_tiles(np.array(cut["pixel_values"]), grid)]
    names += [f"{name}: {grid[0]} x {grid[1]} (rows x columns)", "what the model sees"]
keep(panel(pictures, "One picture, two programs", names, columns=2), "14_cuts")

# %% [markdown]
# ## The prompt: special tokens or negative ids
# The authors' ids of the placeholders are negative and stand for no row of the text table. transformers gives them rows
# at the table's end.

# %%
both = {"the authors": inputs, "transformers": theirs(images=picture, text=case["prompt"], return_tensors="np")}
for name, given in both.items():
    ids = given["input_ids"][0]
    print(f"{name:13} {ids.size} tokens, ids from {ids.min()} to {ids.max()}")

# %% [markdown]
# ## How much does each difference change?
# Change one field of the authors' convention at a time to transformers' value, and compare the visual embeddings of the
# same picture (for a different number of tiles, or tiles of another grid, there is nothing to compare, so those are
# left out).

# %%
changes = {}
for field in ("vision_final_norm", "argmax_of_logits", "gumbel_tau", "crop_before_resize"):
    mixed = replace(ORIGINAL, **{field: getattr(TRANSFORMERS, field)})
    one = Ovis2ForConditionalGeneration.from_pretrained(folder / "checkpoint", convention=mixed)
    cut = Ovis2Processor.from_pretrained(folder / "checkpoint", convention=mixed).image_processor(picture)
    made = one.get_image_features(np.array(cut["pixel_values"])).pooler_output
    changes[field] = float(
        np.sqrt(((made - output.image_hidden_states) ** 2).mean() / (output.image_hidden_states**2).mean())
    )
assert changes["vision_final_norm"] > 0.01, "a norm more changes the visual embeddings"
assert changes["argmax_of_logits"] == changes["gumbel_tau"] == 0, "this model's visual tokens are a softmax: no argmax"
caption = "Change of the visual embeddings with one field taken from transformers"
keep(bars(changes, caption, "RMS of the change / RMS of the embeddings", digits=3), "14_changes")

# %% [markdown]
# What to notice: the cut and the norm change the embeddings, each as much as its bar says. The two fields of the argmax
# change nothing in this model, whose visual tokens are a softmax; they matter for `tokenize_function="st_argmax"` and
# `"gumbel_argmax"`. The tiny model of this package was trained with transformers' program, the released ones with the
# authors'. Run each with its own.
