# %% [markdown]
# # 11. From logits to an answer
#
# After each token the model gives a score for every token of the vocabulary. How one is chosen, how sure the model is,
# and how the answer becomes likely layer by layer. The code that runs is in `ovis2_ref/generation/`; in the one
# file, `ovis2.py`, it is `greedy`.

# %%
import numpy as np
from plots import bars, curves, heatmap
from show import SCENE, ask, check, keep, load, shape

from ovis2_ref import recording
from ovis2_ref.generation.truncation import temperature, top_k, top_p
from ovis2_ref.ops import rms_norm, softmax
from ovis2_ref.tiny.training.scenes import draw_scene

model, processor = load()
text = model.config.text_config
language = model.parts / "model" / "language_model"
inputs = ask(processor, SCENE.render())
prompt = inputs["input_ids"].shape[1]
ids = model.generate(**inputs, max_new_tokens=40)
words = [processor.decode([token]) for token in ids[0, prompt:]]
with recording() as values:
    output = model(input_ids=ids, pixel_values=inputs["pixel_values"])
shape("logits (b, t, vocabulary)", output.logits)

# %% [markdown]
# ## Probabilities: softmax(logits)
# The logits at position i are about the token at i + 1. One pass over prompt and answer gives them for all tokens of
# the answer at once.

# %%
logits = output.logits[0, prompt - 1 : -1]
e = np.exp(logits - logits.max(axis=-1, keepdims=True))
probabilities = e / e.sum(axis=-1, keepdims=True)
check("probabilities (answer, vocabulary)", probabilities, softmax(logits))
chosen = probabilities[np.arange(len(words)), ids[0, prompt:]]
assert (probabilities.argmax(axis=-1) == ids[0, prompt:]).all(), "greedy decoding takes the likeliest token each time"
unsure = int(chosen.argmin())
print("answer:", "".join(words))
print(f"least sure: {words[unsure]!r}, with a probability of {chosen[unsure]:.3f}")

# %%
best = np.argsort(-probabilities[unsure])[:6]
ranked = {repr(processor.decode([int(token)])): float(probabilities[unsure, token]) for token in best}
caption = f"The likeliest tokens where the model is least sure, after {''.join(words[:unsure])!r}"
keep(bars(ranked, caption, "probability (logarithmic)", 4, log=True), "11_least_sure")

# %% [markdown]
# ## How the answer becomes likely, layer by layer
# Each layer adds to a token's vector; only the last vector is meant to be read. But the final norm and the output head
# can be put behind any layer: what would the model say if it ended here? (nostalgebraist, 2020, "interpreting GPT: the
# logit lens".)

# %%
states = {"embeddings": values["model.language_model.inputs_embeds"]}
for i in range(text.num_hidden_layers):
    states[f"layer {i}"] = values[f"model.language_model.layers.{i}.output"]
head = (language / "embed_tokens")["weight"].T
lens = []
for stage, state in states.items():
    early = softmax(rms_norm(state, language / "norm", text.rms_norm_eps) @ head)[0, prompt - 1 : -1]
    lens.append(early[np.arange(len(words)), ids[0, prompt:]])
    print(f"{stage:11}", "".join(processor.decode([int(token)]) for token in early.argmax(axis=-1)).replace("\n", "/"))
check("the last row is the model's own", lens[-1], chosen)
caption = "Probability of each token of the answer, if the model ended after a stage"
labels = [repr(word)[1:-1].strip().replace("<|im_end|>", "(end)") for word in words]
keep(heatmap(np.array(lens), caption, "stage", "token of the answer", list(states), labels, digits=2), "11_lens")

# %% [markdown]
# What to notice: the embeddings alone say the token that was just read (the head is the embedding table). Colours and
# kinds come with the layers whose heads look at the picture (walkthrough 09). Whether ",", " and" or "." comes next
# asks how many shapes are still to come; see which layer knows that.

# %% [markdown]
# ## Where the model hesitates
# -log p of a token is 0 where the model is sure, 0.7 where it gives the token one half, 2.3 where it gives it a tenth. Of 30
# scenes that training never saw, here is the one whose description has the least likely token, and the same measure for
# other questions about it: the least likely token of each answer.


# %%
def least_likely(picture: np.ndarray, question: str) -> tuple[float, str]:
    """Return -log p of the least likely token of the answer to a question, and the answer."""
    asked = ask(processor, picture, question)
    start = asked["input_ids"].shape[1]
    made = model.generate(**asked, max_new_tokens=40)
    p = softmax(model(input_ids=made, pixel_values=asked["pixel_values"]).logits[0, start - 1 : -1])
    said = processor.decode(made[0, start:], skip_special_tokens=True)
    return float(-np.log(p[np.arange(len(p)), made[0, start:]].min())), said


pictures = [draw_scene(seed).render() for seed in range(300, 330)]
hard = max(pictures, key=lambda picture: least_likely(picture, "Describe the image.")[0])
questions = ("Describe the image.", "How many shapes are there?", "What is furthest left?", "What is furthest right?",
             "What is at the top?", "Is there a red circle?", "Is there a green cross?", "What shape is red?")  # fmt: skip
surprise = {}
for question in questions:
    value, said = least_likely(hard, question)
    surprise[f"{question} {said}"] = value
assert max(surprise.values()) > 0.01, "of 30 scenes one should make the model hesitate"
caption = "Where the model hesitates: the least likely token of each answer about one hard scene"
keep(bars(surprise, caption, "-log p of the least likely token (logarithmic)", 2, log=True), "11_sure")

# %% [markdown]
# ## Sampling: temperature, top-k, top-p
# Divide the logits by T: below 1 the distribution becomes sharper, above 1 flatter. Top-k keeps the k likeliest tokens,
# top-p the fewest that have a probability of p together (Holtzman et al., 2019). All others get -infinity.

# %%
one = logits[unsure : unsure + 1]
check("temperature 2", temperature(one, 2.0), one / 2)
kept = np.sort(one[0])[::-1][:3]
assert set(one[0][np.isfinite(top_k(one, 3)[0])]) == set(kept), "top-k keeps the three highest"
order = np.argsort(-softmax(one / 2)[0])
together = np.cumsum(softmax(one / 2)[0, order])
fewest = int((together < 0.9).sum()) + 1
assert set(np.flatnonzero(np.isfinite(top_p(one / 2, 0.9)[0]))) == set(order[:fewest]), (
    "top-p keeps the fewest that reach p"
)
print(f"at this place, top-p of 0.9 keeps {int(np.isfinite(top_p(one, 0.9)).sum())} tokens; at temperature 2, {fewest}")

# %%
temperatures = np.linspace(0.25, 4, 16)
entropies = []
for t in temperatures:
    p = softmax(logits / t)
    entropies.append(float(np.exp(-(p * np.log(p + 1e-30)).sum(axis=-1)).mean()))
series = {"mean of the answer's tokens": (temperatures, entropies)}
caption = "Between how many tokens the model hesitates, by temperature (mean over the answer)"
keep(curves(series, caption, "temperature", "exp(entropy), in tokens"), "11_temperature")

# %%
for t in (0.5, 1.0, 2.0, 3.0):
    for seed in range(2):
        made = model.generate(**inputs, max_new_tokens=30, do_sample=True, temperature=t, top_k=0, generator=seed)
        print(f"T = {t}, seed {seed}: {processor.decode(made[0, prompt:], skip_special_tokens=True)!r}")

# %% [markdown]
# ## Beam search: several texts at a time
# Greedy takes the best token at each step and may miss the best text. Beam search goes on with the best few texts; the
# score of a text is the sum of its tokens' log probabilities, divided by its length.


# %%
def score(made: np.ndarray) -> float:
    """Return the mean log probability of the answer's tokens, its end token included."""
    made = made[: prompt + 1 + int(np.argmax(np.isin(made[prompt:], text.eos_token_id)))]
    p = softmax(model(input_ids=made[None], pixel_values=inputs["pixel_values"]).logits[0, prompt - 1 : -1])
    return float(np.log(p[np.arange(len(p)), made[prompt:]]).mean())


beams = model.generate(**inputs, max_new_tokens=40, num_beams=4, num_return_sequences=4)
scores = [score(beam) for beam in beams]
for beam, value in zip(beams, scores, strict=True):
    print(f"{value:8.4f}  {processor.decode(beam[prompt:], skip_special_tokens=True)}")
assert scores == sorted(scores, reverse=True), "beams come best first"
assert scores[0] >= score(ids[0]) - 1e-4, "the best beam is at least as likely as the greedy answer here"
