# %% [markdown]
# # 10. The KV cache
#
# A later token never changes an earlier one (the causal mask), so the keys and values of what has been read can be
# kept. A new token then costs one row, not the whole text again. The code that runs is `ovis2_ref/language/cache.py`; in
# the one file, `ovis2.py`, it is `update_cache`.

# %%
import numpy as np
from plots import curves, heatmap
from show import SCENE, ask, check, keep, load, shape

from ovis2_ref import Ovis2Config, recording
from ovis2_ref.tools.costs import cache_bytes_per_token, operations

model, processor = load()
text = model.config.text_config
inputs = ask(processor, SCENE.render())
prompt = inputs["input_ids"].shape[1]

# %% [markdown]
# ## Read the prompt: the cache is filled
# One array holds the keys of all layers, one the values.

# %%
with recording() as values:
    first = model(**inputs)
cache = first.past_key_values
shape("keys in the cache (layers, b, key heads, t, d)", cache.keys[..., : cache.length, :])
for i in range(text.num_hidden_layers):
    keys = values[f"model.language_model.layers.{i}.self_attn.k_rotated"]
    assert np.array_equal(cache.keys[i, :, :, :prompt], keys), f"layer {i} keeps its keys, turned already"
assert cache.length == prompt, "as many tokens as were read"

# %% [markdown]
# ## Read one more token, with the cache and without
# The same logits, within rounding: the sums are computed in other orders.

# %%
token = first.logits[:, -1:].argmax(axis=-1)
second = model(input_ids=token, past_key_values=cache)
whole = model(input_ids=np.concatenate([inputs["input_ids"], token], axis=1), pixel_values=inputs["pixel_values"])
shape("logits of one token (b, 1, vocabulary)", second.logits)
check("the same without a cache", second.logits[:, -1], whole.logits[:, -1])
assert cache.length == prompt + 1, "the new token was put into the cache"

# %% [markdown]
# ## The whole answer, counted
# Operations (a multiplication and an addition are two) for an answer, reading the prompt included, which gives the first
# token. With the cache, each further token costs one row; without it, the whole text again.

# %%
new = np.arange(1, 101)
tiles = len(inputs["pixel_values"])
prefill = [operations(model.config, tiles, prompt + n - 1)["prefill"] for n in new]
steps = [operations(model.config, tiles, prompt + n - 1)["one more token"] for n in new]
without = np.cumsum(prefill)
with_cache = prefill[0] + np.cumsum([0, *steps[1:]])
series = {"without a cache": (new, without / 1e9), "with the cache": (new, with_cache / 1e9)}
for n in (1, 10, 100):
    print(f"{n:3} tokens: without a cache {without[n - 1] / with_cache[n - 1]:.1f} times the operations")
assert without[-1] > 20 * with_cache[-1], "a hundred tokens should cost many times as much without the cache"
caption = f"Operations of the language model for an answer, after a prompt of {prompt} tokens"
keep(curves(series, caption, "new tokens", "GFLOP (thousand million operations)", log=True), "10_operations")

# %%
same = [model.generate(**inputs, max_new_tokens=40, use_cache=use).tolist() for use in (True, False)]
assert same[0] == same[1], "the answer is the same with and without a cache"
print("answer:", processor.decode(same[0][0][prompt:], skip_special_tokens=True))

# %% [markdown]
# ## What it costs: memory
# 2 x layers x key heads x d numbers per token. The table has the released models, with a picture of seven tiles.

# %%
for size in ("Ovis2-1B", "Ovis2-8B", "Ovis2-34B"):
    config = Ovis2Config.preset(size)
    a_token = cache_bytes_per_token(config.text_config, 2)
    tokens = 7 * config.vision_config.tokens_per_tile
    mebibytes = tokens * a_token / 2**20
    print(f"{size:10} {a_token / 1024:4.0f} KiB a token in bfloat16; 7 tiles are {tokens} tokens, {mebibytes:4.0f} MiB")
here = cache_bytes_per_token(text, 4)
assert here == cache.keys[..., :1, :].nbytes + cache.values[..., :1, :].nbytes, (
    "bytes of one token in this model's cache"
)

# %% [markdown]
# ## Two questions, one reading
# The prompt up to the picture's end is the same for every question about it. Crop the cache to that length, and only
# the new question is read. That is how the tiny model was trained, too: a picture once, a dozen questions behind it.

# %%
end = int(np.flatnonzero(inputs["input_ids"][0] == model.config.visual_indicator_token_ids[-1])[0]) + 1
for question in (
    "Describe the image.",
    "How many shapes are there?",
    "What is furthest right?",
    "What colour is the cross?",
):
    asked = ask(processor, SCENE.render(), question)
    cache.crop(end)
    rest = asked["input_ids"][:, end:]
    said = []
    while not said or (said[-1] not in text.eos_token_id and len(said) < 40):
        logits = model(input_ids=rest, past_key_values=cache).logits
        said.append(int(logits[0, -1].argmax()))
        rest = np.array([said[-1:]])
    alone = model.generate(**asked, max_new_tokens=40)[0, asked["input_ids"].shape[1] :]
    assert said == alone.tolist(), "the same answer as to a prompt read from the start"
    print(
        f"{asked['input_ids'].shape[1] - end:3} tokens read: {question:28} {processor.decode(said, skip_special_tokens=True)}"
    )

# %% [markdown]
# ## What lies in the cache
# Columns that are alike are tokens that were alike: text at the left, then the cells of empty ground, among which the
# cells of the shapes stand out, first in the thumbnail, then in the tiles.

# %%
keys = cache.keys[0, 0, 0, :end].T
keep(heatmap(keys, "Keys of layer 0, head 0, up to the picture's end", "number of the key", "token"), "10_keys")
