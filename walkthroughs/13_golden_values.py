# %% [markdown]
# # 13. Golden values: find the mistake in a port
#
# Somebody writes Ovis2 once more, for another language or machine. It runs, and its answers are wrong. Where is the
# mistake? Here one is planted, and then found: first by hand, then with `ovis2_ref.golden`, which names the first wrong
# stage and, if it knows the mistake, proves it. `ovis2_ref/golden/README.md` describes the files and the verdicts. In the
# one file, `ovis2.py`, the function with the mistake is `rotate`.

# %%
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from plots import curves
from show import SCENE, TINY, answer, ask, keep, load

from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.golden import compare, read_golden, record
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.golden.report import table, verdict_line

model, processor = load()
folder = Path(tempfile.mkdtemp())
question = "Describe the image."
inputs = ask(processor, SCENE.render(), question)
right = answer(model, processor, inputs)

# %% [markdown]
# ## Record the reference
# One file with every value of a run, in the order in which they are computed, and with all that is needed to compute
# each again.

# %%
record(folder / "golden.safetensors", model, processor, [SCENE.render()], question, tokens=1)
golden = read_golden(folder / "golden.safetensors")
print(
    f"{len(golden.names)} values, {(folder / 'golden.safetensors').stat().st_size / 2**20:.1f} MiB; the first and last:"
)
print(*golden.names[:4], "...", *golden.names[-3:], sep="\n  ")


# %% [markdown]
# ## The port, with a mistake
# The paper on rotary embedding pairs neighbouring numbers of a head (0 and 1, 2 and 3); Qwen2's weights were trained
# with the halves paired (0 and d / 2, 1 and d / 2 + 1). A port by the paper gets it wrong. This model with one
# function exchanged stands for that port.


# %%
def rotate_neighbours(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """(a, b) -> (a cos - b sin, b cos + a sin) for numbers 2 i and 2 i + 1 of a head: the paper's pairs."""
    a, b, cos, sin = x[..., ::2], x[..., 1::2], cos[:, None], sin[:, None]
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


@contextmanager
def port() -> Iterator[None]:
    """Inside the block the model's attention rotates neighbours."""
    with patch("ovis2_ref.language.attention.rotate", rotate_neighbours):
        yield


with port():
    print("the reference:", right)
    print("the port:     ", wrong := answer(model, processor, inputs))
    record(folder / "port.safetensors", model, processor, [SCENE.render()], question, tokens=1)
candidate = read_golden(folder / "port.safetensors")
assert wrong != right, "the planted mistake should change the answer"

# %% [markdown]
# ## By hand: compare all values
# Everything that is computed after a mistake differs as well, and a right port differs from the reference by rounding.
# So one looks for the first jump.

# %%
shared = [name for name in golden.names if golden.taps[name].dtype == np.float32 and "scores" not in name]
differences = []
for name in shared:
    a, b = golden.taps[name].astype(float), candidate.taps[name].astype(float)
    differences.append(float(np.sqrt(((a - b) ** 2).mean() / (a**2).mean())))
first = next(i for i, difference in enumerate(differences) if difference > 1e-3)
print(f"the first value that is off by more than a thousandth: {shared[first]}")
assert shared[first].endswith("layers.0.self_attn.q_rotated"), "the mistake is in the rotation of the first layer"
series = {"port and reference": (np.arange(len(shared)), np.array(differences) + 1e-9)}
caption = (
    f"Port and reference: the difference jumps at value {first}, the rotated queries of layer 0 (1e-9: no difference)"
)
keep(
    curves(series, caption, "values in the order in which they are computed", "relative difference", log=True),
    "13_by_hand",
)

# %% [markdown]
# ## With `compare`: each stage from its own inputs
# A stage is judged by what the port itself fed into it: compute the formula from the port's own recorded inputs, in
# float64, and see whether the port's value is as near to that as rounding allows. So an error is not carried on: what
# follows a wrong stage is called *inherited*.

# %%
reference = load_reference(golden, TINY)
comparison = compare(golden, candidate, reference)
print(*(line[:140] for line in table(comparison).splitlines()[:12]), "...", verdict_line(comparison), sep="\n")
found = comparison.of("wrong")
assert found and found[0].tap.endswith("layers.0.self_attn.q_rotated"), "compare should name the first wrong stage"
assert found[0].causes, "the mistake is a known one: with it, the reference gives the port's value"
print("cause:", found[0].causes[0].cause.name)
print(f"{len(found)} wrong, {len(comparison.of('inherited'))} inherited, {len(comparison.rows)} in all")

# %% [markdown]
# ## A second mistake: a norm left out
# The authors take the ViT's features before its last norm, transformers after it. A port of the one, compared with the
# other, is off from there on. That difference is in the list of known causes, so it is proved: with this one change the
# reference gives the port's value.

# %%
other = load(convention=replace(TRANSFORMERS, vision_final_norm=False))[0]
record(folder / "second.safetensors", other, processor, [SCENE.render()], question, tokens=1)
second = compare(golden, read_golden(folder / "second.safetensors"), reference)
print(verdict_line(second))
wrong_rows = second.of("wrong")
assert wrong_rows and wrong_rows[0].causes, "the missing norm should be found and proved"

# %% [markdown]
# ## A right port passes
# The same run in float64 differs in nearly every bit, and nothing is wrong with it. (The type that it claims decides
# how much rounding is allowed.)

# %%
record(folder / "float64.safetensors", load(dtype="float64")[0], processor, [SCENE.render()], question, tokens=1)
third = compare(golden, read_golden(folder / "float64.safetensors"), reference)
print(verdict_line(third))
assert third.passes, "another type of numbers is no mistake"
print("As a command: ovis2-ref golden record, ovis2-ref golden compare.")
