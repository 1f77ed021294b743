"""Generation: from a prompt to an answer, greedily, by sampling or by beam search, as transformers' `generate` makes it.

settings.py      what a call and a checkpoint ask for
prompt.py        the batch of prompts, with mask and positions
continuation.py  the model, its cache and the tokens so far
static.py        a step that a GPU records and replays
processors.py, truncation.py    what is done to scores before a token is chosen, and in scores.py in which order
sampling.py      greedy decoding and sampling
beam.py          beam search
"""

from typing import Any

import numpy as np
from jaxtyping import Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.beam import beam_search
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.prompt import read_prompt
from ovis2_ref.generation.sampling import Streamer, sample
from ovis2_ref.generation.scores import Frame, score_processors
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.runtime.arrays import array_module, to_host

__all__ = ["GenerationSettings", "Streamer", "generate"]


def generate(
    model: Any,
    input_ids: Any | None = None,
    *,
    attention_mask: Any | None = None,
    pixel_values: Any | None = None,
    inputs_embeds: Any | None = None,
    streamer: Streamer | None = None,
    generator: np.random.Generator | int | None = None,
    **options: Any,
) -> Int[np.ndarray, "rows tokens"]:
    """The ids of prompts and answers (batch * num_return_sequences, tokens), as transformers' `generate` returns them.

    input_ids (batch, tokens), padded on the left, with attention_mask 0 at the padding; pixel_values (tiles, channels, side,
    side), the tiles of all pictures in reading order. With inputs_embeds (batch, tokens, hidden) and no input_ids, only new ids
    come back. streamer: gets the prompt and then each step's tokens; not with beams. generator: a NumPy generator, or a seed, for
    sampling. options: the fields of `GenerationSettings`.

    With convention="original" the processors count new tokens only, since the authors' code hands its language model embeddings.
    Raises `InputError` for arguments that don't exist, don't fit or can't be.
    """
    settings = GenerationSettings.merge(model.generation_config or _special_tokens(model), options)
    prompt = read_prompt(model, settings, input_ids, attention_mask, pixel_values, inputs_embeds)
    new_tokens = settings.new_tokens(prompt.length)
    if streamer is not None:
        if settings.num_beams > 1:
            raise InputError("a streamer can't follow a beam search, which revises what it said; use num_beams=1")
        streamer.put(to_host(prompt.ids))
    copies = max(settings.num_beams, settings.num_return_sequences)
    use_cache = settings.use_cache or prompt.embeddings is not None
    static = use_cache and settings.cache_implementation == "static"
    text = Continuation(model, prompt, copies, new_tokens, use_cache, static)
    counts_prompt = model.convention.scores_count_prompt
    first = 0 if counts_prompt else text.ids.shape[1]
    xp = array_module(text.scores)
    # transformers counts the padding off from new tokens, too, where the prompt came as embeddings
    padding = prompt.padding if counts_prompt else None
    frame = Frame(
        prompt_ids=text.ids[:, first:].copy(),
        padding=None if padding is None else xp.repeat(padding, copies),
        vocabulary=text.scores.shape[1],
        min_new_tokens=settings.least_new_tokens(prompt.length),
        max_new_tokens=new_tokens,
    )
    processors = score_processors(settings, frame, xp)
    random = np.random.default_rng(generator)
    if settings.num_beams > 1:
        return beam_search(text, settings, processors, first, new_tokens, random)
    ids = sample(text, settings, processors, first, new_tokens, random, streamer)
    if streamer is not None:
        streamer.end()
    return ids


def _special_tokens(model: Any) -> dict[str, Any]:
    """The end and pad tokens of the language model's configuration, for a model without a generation_config.json."""
    config = model.config.text_config
    return {"eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id}
