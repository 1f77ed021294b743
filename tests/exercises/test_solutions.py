"""The project's own functions, which a student is shown after passing, pass as answers."""

import numpy as np
import pytest

from ovis2_ref import ops
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.catalogue.beam_search import beam_search as answer_to_beam_search
from ovis2_ref.exercises.checking import check
from ovis2_ref.exercises.table_model import TableModel
from ovis2_ref.generation.beam import beam_search as projects_beam_search
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.decoding import Decoding
from ovis2_ref.generation.greedy import greedy as projects_greedy
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.image.filters import Windows
from ovis2_ref.image.resize import resample_axis
from ovis2_ref.language import masks, rope
from ovis2_ref.language.cache import KVCache
from ovis2_ref.merge import merge_embeddings as projects_merge
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision import encoder, visual_tokenizer

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


class TableText(Continuation):
    """Rows of text that a table continues, where the project's loops expect a model's."""

    def __init__(self, model, prompt, rows):
        self._model, self._ids, self.made = model, [list(prompt) for _ in range(rows)], 0
        self.advance()

    @property
    def ids(self):
        return np.array(self._ids)

    def append(self, tokens):
        self._ids = [[*ids, int(token)] for ids, token in zip(self._ids, tokens, strict=True)]
        self.made += 1

    def reorder(self, rows):
        self._ids = [self._ids[row] for row in rows]

    def advance(self):
        self.scores = np.stack([self._model(ids) for ids in self._ids])


def split_heads(x, heads):
    return ops.split_heads(x, x.shape[-1] // heads)


def grouped_query_attention(q, k, v, mask):
    return ops.merge_heads(ops.attend(q, k, v, mask[None, None], Weights({})))


def visual_tokens(merged, head, norm_weight, norm_bias):
    weights = {"head_linear.weight": head, "head_norm.weight": norm_weight, "head_norm.bias": norm_bias}
    return visual_tokenizer.visual_tokens(merged, Weights(weights), Ovis2VisionConfig(), TRANSFORMERS)


def patches(pixel_values, p):
    channels = pixel_values.shape[1]
    kernel = np.eye(channels * p * p).reshape(-1, channels, p, p)
    return encoder.patch_embedding(pixel_values, Weights({"weight": kernel}))


def merge_embeddings(ids, text, visual, indicators, atom_id, indicator_ids):
    language = Qwen2Config(vocab_size=10)
    config = Ovis2Config(
        Ovis2VisionConfig(num_visual_indicator_tokens=len(indicators)),
        language,
        atom_id,
        indicator_ids,
        10,
        language.hidden_size,
    )
    return projects_merge(ids, text, visual, indicators, config)


def causal_mask(attention_mask, queries):
    keys = attention_mask.shape[1]
    positions = np.arange(keys - queries, keys)[None]
    return masks.causal_mask(positions, keys - queries, 0, None, attention_mask, np.dtype(np.float32))[:, 0]


def sliding_window(queries, keys, window):
    positions, padding = np.arange(keys - queries, keys)[None], np.ones((1, keys), int)
    return masks.causal_mask(positions, keys - queries, 0, window, padding, np.dtype(np.float32))[0, 0] == 0


def rotary_tables(positions, head_dim, theta):
    config = Qwen2Config(
        hidden_size=head_dim, num_attention_heads=1, num_key_value_heads=1,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )  # fmt: skip
    return rope.rotary_tables(positions, config, np.dtype(np.float32))


def update_cache(store, length, keys):
    store, keys = np.repeat(store, 2, axis=-1), np.repeat(keys, 2, axis=-1)  # a head's width is even
    batch, heads, capacity, head_dim = store.shape
    config = Qwen2Config(
        num_hidden_layers=1, num_attention_heads=heads, num_key_value_heads=heads, hidden_size=heads * head_dim
    )
    cache = KVCache(config, batch, capacity, store.dtype, np)
    cache.keys[0] = cache.values[0] = store
    cache.length = length
    seen, _ = cache.update(0, length, keys, keys)
    cache.keys[..., seen.shape[2] :, :] = 0
    return cache.keys[0, ..., ::2], seen[..., ::2]


def resize_pass(picture, weights):
    windows = Windows(np.zeros(len(weights), int), weights.copy(), len(picture))
    return resample_axis(picture[None], windows, 1)[0]


def greedy(model, prompt, end, new_tokens):
    if new_tokens == 0:
        return []
    return projects_greedy(TableText(model, prompt, 1), new_tokens, [end], None)[0, len(prompt) :].tolist()


PROJECT = (
    *(split_heads, grouped_query_attention, visual_tokens, patches, merge_embeddings, causal_mask, sliding_window),
    *(rotary_tables, update_cache, resize_pass, greedy),
)


@pytest.mark.parametrize("function", PROJECT, ids=lambda f: f.__name__)
def test_the_projects_function_passes(function):
    """Of the other exercises it is the oracle; the grid's and the tiles' are compared in `test_oracles`, the beams' below."""
    failure = check(BY_NAME[function.__name__], function)
    assert failure is None, failure


@pytest.mark.parametrize("seed", range(40))
def test_the_answer_to_beam_search_is_the_projects(seed):
    """With early_stopping="never", the project's search ends where no beam can win any more, which changes no answer."""
    rng = np.random.default_rng(seed)
    vocabulary, beams, new_tokens = int(rng.integers(6, 9)), int(rng.integers(2, 4)), int(rng.integers(1, 7))
    logits = rng.normal(size=(2, vocabulary, vocabulary)) + (np.arange(vocabulary) == 0)
    model = TableModel((logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))).tolist())
    settings = GenerationSettings(eos_token_id=0, pad_token_id=vocabulary - 1, num_beams=beams, early_stopping="never")
    found, _ = projects_beam_search(TableText(model, [1, 2], beams), Decoding(settings, new_tokens))
    assert answer_to_beam_search(model, [1, 2], 0, new_tokens, beams) == found[0, 2:].tolist()
