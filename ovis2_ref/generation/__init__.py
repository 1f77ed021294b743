"""Generate an answer to a prompt, greedily, by sampling or by beam search, as transformers' `generate` does.

greedy.py        greedy decoding, by itself
sampling.py      sampling, and greedy decoding with options
beam.py          beam search
decoding.py      what these two decode with
settings.py, config.py          the options, and which of them hold for a call
prompt.py        the batch of prompts, with mask and positions
continuation.py  the model, its cache and the tokens so far
static.py        a step that a GPU records and replays
processors.py, truncation.py    changes of the scores before a token is chosen; scores.py: their order
randomness.py    drawing tokens
stopping.py      when an answer is complete
steps.py         what a call returns of every step, and the scores of its tokens
"""

from typing import Any

from ovis2_ref.compat.arguments import active
from ovis2_ref.compat.idle import GENERATE
from ovis2_ref.compat.outputs import GenerateOutput
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.generation.beam import beam_search
from ovis2_ref.generation.config import GenerationConfig, merged_settings
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.decoding import Decoding, Streamer
from ovis2_ref.generation.greedy import greedy
from ovis2_ref.generation.prompt import Prompt, read_prompt
from ovis2_ref.generation.randomness import Generator, NumPyGenerator
from ovis2_ref.generation.sampling import sample
from ovis2_ref.generation.scores import PromptFacts, score_processors
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.generation.static import worth_recording
from ovis2_ref.generation.steps import KeptSteps
from ovis2_ref.generation.stopping import functions
from ovis2_ref.generation.stopping import stopping_criteria as make_criteria
from ovis2_ref.runtime.arrays import to_host

__all__ = ["GenerationConfig", "GenerationSettings", "Streamer", "generate"]

EXPECTED = {
    "streamer": "an object with put and end",
    "generation_config": "a GenerationConfig or a dictionary",
    "tokenizer": "the processor's tokenizer",
    "prefix_allowed_tokens_fn": "a function (prompt number, ids) -> tokens",
}
"""What each argument that is an object should be."""


def generate(
    model: Any,
    input_ids: Any | None = None,
    *,
    attention_mask: Any | None = None,
    pixel_values: Any | None = None,
    inputs_embeds: Any | None = None,
    past_key_values: Any | None = None,
    generation_config: Any | None = None,
    logits_processor: Any | None = None,
    stopping_criteria: Any | None = None,
    prefix_allowed_tokens_fn: Any | None = None,
    tokenizer: Any | None = None,
    streamer: Any | None = None,
    generator: Any | None = None,
    **options: Any,
) -> Any:
    """Return the ids of prompts and answers (batch * num_return_sequences, tokens), as transformers' `generate` returns them.

    input_ids (batch, tokens), padded on the left, with attention_mask 0 at the padding; pixel_values (tiles, channels, side,
    side), the tiles of all pictures in reading order. With inputs_embeds (batch, tokens, hidden) and no input_ids, only new ids
    come back. past_key_values: the cache of a beginning of input_ids. generation_config: settings; options take precedence.
    logits_processor: functions (ids, scores) -> scores; stopping_criteria: functions (ids, scores) -> true at the end;
    prefix_allowed_tokens_fn: (prompt number, ids) -> the tokens that may come. tokenizer: for stop_strings. streamer: gets the
    prompt and then each step's tokens; not with beams. generator: a NumPy generator, or a seed, for sampling. options: the fields
    of `GenerationSettings`; with return_dict_in_generate the result is a `GenerateOutput`.

    With convention="original" the processors count new tokens only, since the authors' code passes embeddings to its model.
    Raises `InputError` for arguments that don't exist or can't be used.
    """
    for name, value, method in (
        ("streamer", streamer, "put"),
        ("generation_config", generation_config, "items"),
        ("tokenizer", tokenizer, "decode"),
        ("prefix_allowed_tokens_fn", prefix_allowed_tokens_fn, "__call__"),
    ):
        if value is not None and not hasattr(value, method):
            raise InputError(f"{name}={shown(value)} should be {EXPECTED[name]}")
    defaults = model.generation_config or _special_tokens(model)
    settings = merged_settings(defaults, active("generate", options, GENERATE), generation_config)
    arrays = {"input_ids": input_ids, "attention_mask": attention_mask, "pixel_values": pixel_values}
    prompt = read_prompt(model, settings, {**arrays, "inputs_embeds": inputs_embeds}, past_key_values)
    if streamer is not None:
        if settings.num_beams > 1:
            raise InputError("a streamer can't follow a beam search, which may replace earlier tokens; use num_beams=1")
        streamer.put(to_host(prompt.ids))
    text = _continuation(model, prompt, settings, past_key_values)
    custom = functions(logits_processor, "logits_processor")
    call = Decoding(
        settings,
        settings.new_tokens(prompt.length),
        score_processors(settings, _facts(model, prompt, text, settings, prefix_allowed_tokens_fn), model.xp, custom),
        first=0 if model.convention.scores_count_prompt else text.ids.shape[1],
        generator=_generator(generator) if settings.do_sample else None,
        stopping=make_criteria(settings, stopping_criteria, tokenizer),
        streamer=streamer,
        kept=KeptSteps(settings.outputs()),
    )
    return _answer(text, call)


def _answer(text: Continuation, call: Decoding) -> Any:
    """Return what `generate` returns, by the loop that the call needs."""
    settings = call.settings
    beams: dict[str, Any] = {}
    returns_record = settings.return_dict_in_generate
    if settings.num_beams > 1:
        ids, beams = beam_search(text, call)
    elif call.processors or call.generator or call.stopping or call.streamer or returns_record:
        ids = sample(text, call)
    else:
        ids = greedy(text, call.new_tokens, settings.eos_tokens(), settings.pad_token())
    if call.streamer is not None:
        call.streamer.end()
    if not returns_record:
        return ids
    return GenerateOutput(ids, **{n: call.kept[n] for n in call.kept.values}, **beams, past_key_values=text.cache)


def _generator(generator: Any) -> Generator:
    """Return the source of random choices that a caller gave: one of ours, a NumPy generator, a seed, or None."""
    return generator if hasattr(generator, "choose") else NumPyGenerator(generator)


def _facts(model: Any, prompt: Prompt, text: Continuation, settings: GenerationSettings, allowed: Any) -> PromptFacts:
    """Return what the processors need to know of the prompt."""
    counts_prompt = model.convention.scores_count_prompt
    # transformers counts the padding off from new tokens, too, where the prompt came as embeddings
    padding = prompt.padding if counts_prompt else None
    return PromptFacts(
        prompt_ids=text.ids[:, : None if counts_prompt else 0].copy(),
        padding=None if padding is None else model.xp.repeat(padding, len(text.ids) // len(padding)),
        vocabulary=text.scores.shape[1],
        min_new_tokens=settings.least_new_tokens(prompt.length),
        max_new_tokens=settings.new_tokens(prompt.length),
        allowed_tokens=allowed,
    )


def _continuation(model: Any, prompt: Prompt, settings: GenerationSettings, cache: Any) -> Continuation:
    """Return the texts to continue, as `settings` ask, once the model has read the prompt."""
    new_tokens = settings.new_tokens(prompt.length)
    copies = max(settings.num_beams, settings.num_return_sequences)
    use_cache = settings.use_cache or prompt.embeddings is not None or cache is not None
    states = [name for name in ("attentions", "hidden_states") if name in settings.outputs()]
    static = use_cache and settings.cache_implementation == "static"
    if states and static:
        raise InputError(f'cache_implementation="static" cannot return {states[0]}; leave it out')
    if cache is not None and static:
        raise InputError('past_key_values can\'t be continued with cache_implementation="static"; leave it out')
    if cache is not None and copies > 1:
        raise InputError("past_key_values can be continued by one row for each prompt: leave num_beams and copies out")
    if settings.cache_implementation is None and use_cache and cache is None and settings.num_beams == 1 and not states:
        static = worth_recording(model, new_tokens)
    return Continuation(model, prompt, copies, new_tokens, use_cache, static, states, cache)


def _special_tokens(model: Any) -> dict[str, Any]:
    """Return the end and pad tokens of the language model's configuration, for a model without a generation_config.json."""
    config = model.config.text_config
    return {"eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id}
