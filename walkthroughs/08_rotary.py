# %% [markdown]
# # 08. Rotary position embedding
#
# Attention compares a query with a key, whatever their places. Qwen2 brings the places in by turning both: the vector
# at position m is turned by angles that grow with m, and then the product of two vectors depends on how far apart they
# are, not on where they are. The code that runs is `ovis2_ref/language/rope.py`; in the one file, `ovis2.py`, it is
# `rotary_tables` and `rotate`. Su et al., 2021, "RoFormer", equations
# 14 to 16.

# %%
import numpy as np
import ovis2
from plots import curves, heatmap
from show import SCENE, ask, check, keep, load, shape

from ovis2_ref import recording
from ovis2_ref.language.rope import inverse_frequencies, rotary_tables, rotate

model, processor = load()
text = model.config.text_config
d, heads = text.head_dim, text.num_attention_heads
inputs = ask(processor, SCENE.render())
with recording() as values:
    model(**inputs)
positions = np.arange(inputs["input_ids"].shape[1])

# %% [markdown]
# ## Angles: m theta^(-2 i / d)
# The d numbers of a head form d / 2 pairs. At position m, pair i is turned by m theta^(-2 i / d) radians: the first
# pair by one radian a token, the last by almost nothing.

# %%
theta = text.rope_parameters["rope_theta"]
frequencies = theta ** (-2 * np.arange(d // 2) / d)
check("radians a token, by pair (d / 2)", frequencies, inverse_frequencies(positions[None], text), 1e-6)
angles = positions[:, None] * frequencies
check("cos (1, t, d / 2)", np.cos(angles)[None], values["model.language_model.rotary_emb.cos"], 1e-4)
check("sin (1, t, d / 2)", np.sin(angles)[None], values["model.language_model.rotary_emb.sin"], 1e-4)
print("tokens for a full turn, by pair:", np.rint(2 * np.pi / frequencies).astype(int).tolist())

# %%
pairs = (0, 3, 6, 10)
series = {
    f"pair {i}: a turn in {2 * np.pi / frequencies[i]:.0f} tokens": (positions, np.cos(angles[:, i])) for i in pairs
}
keep(curves(series, "cos(m theta^(-2 i / d)) for four of the pairs", "position m", "cos"), "08_angles")

# %% [markdown]
# ## Turning: (a, b) -> (a cos - b sin, b cos + a sin)
# Pair i is number i and number i + d / 2 of a head: the halves are turned against each other. (The paper pairs
# neighbours, 2 i and 2 i + 1. With learned weights it makes no difference which, as long as training and use agree: a
# port that mixes them up gives nonsense.) Read the pair as a complex number, and turning is multiplying by exp(i m
# theta_i). That is how it is checked here.

# %%
q = values["model.language_model.layers.0.self_attn.q_proj.output"].reshape(1, -1, heads, d).swapaxes(1, 2)
shape("q (b, heads, t, d)", q)
turned = (q[..., : d // 2] + 1j * q[..., d // 2 :]) * np.exp(1j * angles)
turned = np.concatenate([turned.real, turned.imag], axis=-1)
check("rotated q (b, heads, t, d)", turned, values["model.language_model.layers.0.self_attn.q_rotated"])
cos, sin = rotary_tables(positions[None], text, model.dtype)
check("rotate does this", rotate(q, cos, sin), turned)
check("ovis2.rotate does this", ovis2.rotate(q, *ovis2.rotary_tables(positions, d, theta)), turned)
check("lengths stay as they are", np.linalg.norm(turned, axis=-1), np.linalg.norm(q, axis=-1))

# %% [markdown]
# ## What it is for: only the distance counts
# Turn one query to position m and one key to position n. Their product is the same for (5, 2), (35, 32) and (105, 102).

# %%
random = np.random.default_rng(0)
one_query, one_key = random.standard_normal((2, 1, 1, 1, d)).astype(np.float32)


def product(m: int, n: int) -> float:
    """Return the product of the query at position m and the key at position n."""
    tables = [rotary_tables(np.array([[place]]), text, np.dtype("float32")) for place in (m, n)]
    return float((rotate(one_query, *tables[0]) * rotate(one_key, *tables[1])).sum())


alike = [product(m, m - 3) for m in (5, 35, 105)]
print("three tokens apart:", np.round(alike, 4).tolist(), " thirty apart:", round(product(105, 75), 4))
np.testing.assert_allclose(alike, alike[0], atol=1e-3, err_msg="the same distance should give the same product")

# %% [markdown]
# A vector compared with itself at growing distance: the product falls, since more and more pairs disagree. So a head
# can prefer what is near, if its queries and keys are alike.

# %%
same = np.ones((1, 1, 1, d), np.float32)
distances = np.arange(0, 200)
falls = [float(np.cos(distance * frequencies).mean()) for distance in distances]
keep(
    curves(
        {"mean over pairs": (distances, falls)}, "q . k of equal vectors, by distance", "tokens apart", "q . k / q . q"
    ),
    "08_distance",
)

# %% [markdown]
# ## In the model: shift every position, and nothing changes
# All tokens 100 places later: the same logits, within rounding. Positions counted twice as fast: another model.

# %%
logits = model(**inputs).logits
shifted = model(**inputs, position_ids=positions[None] + 100).logits
check("logits, all positions + 100", shifted, logits, 1e-3)
stretched = model(**inputs, position_ids=2 * positions[None]).logits
difference = float(np.abs(stretched - logits).max() / np.abs(logits).max())
assert difference > 0.01, "distances of twice the length should change the logits"
print(f"all positions doubled: the logits change by up to {difference:.0%} of the largest")

# %% [markdown]
# ## The angles as a picture
# Rows are the pairs of a head, columns the positions. The upper rows are clocks that tell neighbours apart, the lower
# ones tell only the beginning from the end.

# %%
rows = [str(i) for i in range(d // 2)]
columns = [str(m) if m % 10 == 0 else "" for m in positions[:51]]
caption = "cos of the angle of every pair at the first positions"
keep(heatmap(np.cos(angles[:51]).T, caption, "pair", "position", rows, columns), "08_table")
