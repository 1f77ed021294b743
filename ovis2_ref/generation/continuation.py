"""Texts that are being generated: the model, its cache, and the tokens so far, one row for each text."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.generation.prompt import Prompt
from ovis2_ref.generation.static import StaticStep
from ovis2_ref.runtime.arrays import Array, to_device, widened


class Continuation:
    """Rows of text that a model continues token by token, on the model's device."""

    def __init__(
        self,
        model: Any,
        prompt: Prompt,
        copies: int,
        new_tokens: int,
        use_cache: bool,
        static: bool = False,
        states: Collection[str] = (),
        cache: Any = None,
    ) -> None:
        """Let the model read `prompt`, and make `copies` rows of each of its rows, with room for `new_tokens`.

        The model reads each prompt once, and the cache is copied. Without a cache every step reads the whole text again; `static`
        steps are all alike, for a GPU to record, and their rows can't be reordered. `states`: which of "attentions" and
        "hidden_states" to keep of the last forward pass. `cache`: of a beginning of the prompt that the model has read already.
        (transformers 5.x encodes the tiles once, but reads the copies of a prompt; 4.56 gives the copies each other's tiles.)
        """
        xp = model.xp
        if not use_cache:
            prompt = prompt.repeated(copies, model.config.image_token_id)
        self._model = model
        self._tiles = None if use_cache else prompt.pixel_values
        self._cache: Any = cache
        if cache is None and use_cache:
            self._cache = model.new_cache(len(prompt.mask), prompt.length + new_tokens)
        seen = 0 if cache is None else cache.get_seq_length()
        self._wanted = {f"output_{name}": True for name in states}
        self.states: dict[str, tuple[Array, ...]] = {}
        padded = prompt.padding is not None
        self.scores = self._forward(
            None if prompt.embeddings is not None else prompt.ids[:, seen:],
            prompt.mask if padded else None,
            prompt.positions[:, seen:],
            pixel_values=prompt.pixel_values,
            inputs_embeds=None if prompt.embeddings is None else prompt.embeddings[:, seen:],
        )
        if self._cache is not None and copies > 1:
            rows = xp.repeat(xp.arange(len(prompt.mask)), copies)
            self._cache.reorder(rows)
            self.scores = self.scores[rows]
            self.states = {name: tuple(layer[rows] for layer in layers) for name, layers in self.states.items()}
            prompt = replace(prompt, pixel_values=None).repeated(copies, model.config.image_token_id)
        rows = len(prompt.mask)
        self._ids = xp.concatenate([prompt.ids, xp.zeros((rows, new_tokens), dtype=np.int64)], axis=1)
        self._mask = (
            xp.concatenate([prompt.mask, xp.ones((rows, new_tokens), dtype=np.int64)], axis=1) if padded else None
        )
        # transformers 5.24 continues from the last position, masked or not (4.56 counts the ones of the mask)
        coming = prompt.positions[:, -1:] + 1 + xp.arange(new_tokens)
        self._positions = xp.concatenate([prompt.positions, coming], axis=1)
        self._prompt_ids, self._prompt_length = prompt.ids.shape[1], prompt.length
        self.made = 0
        self._step = StaticStep(model, self._cache, self._mask) if static and new_tokens > 1 else None

    scores: Float[Array, "rows vocabulary"]
    """The logits of the next token, in float32, or float64 from a model in float64 (transformers always takes float32)."""

    states: dict[str, tuple[Array, ...]]
    """The kept states of the forward pass that made `scores`: one array for each layer, rows first."""

    @property
    def cache(self) -> Any:
        """The model's cache of prompt and answer, None without one."""
        return self._cache

    @property
    def ids(self) -> Int[Array, "rows tokens"]:
        """The tokens of prompt and answer so far; without those of a prompt that came as embeddings."""
        return self._ids[:, : self._prompt_ids + self.made]

    def append(self, tokens: Int[Array, " rows"] | Int[np.ndarray, " rows"]) -> None:
        """Append a token to each row. `scores` stay the same until `advance` is called."""
        self._ids[:, self._prompt_ids + self.made] = to_device(tokens, self._model.xp)
        self.made += 1

    def advance(self) -> None:
        """Let the model read the last tokens, for the scores of the next."""
        end = self._prompt_length + self.made
        start = 0 if self._cache is None else end - 1
        ids = self.ids[:, start - end :]
        if self._step is not None:
            self.scores = widened(self._step(ids, self._positions[:, start:end])[:, -1])
            return
        mask = None if self._mask is None else self._mask[:, :end]
        self.scores = self._forward(ids, mask, self._positions[:, start:end], pixel_values=self._tiles)

    def reorder(self, rows: Int[Array, " rows"]) -> None:
        """Let row i continue from what was row `rows[i]`, a copy of the same prompt."""
        self._ids = self._ids[rows]
        if self._cache is not None:
            self._cache.reorder(rows)

    def _forward(self, ids: Array | None, mask: Array | None, positions: Array, **prompt: Any) -> Array:
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=self._cache is not None,
            logits_to_keep=1,
            **prompt,
            **self._wanted,
        )
        self.states = {name.removeprefix("output_"): output[name.removeprefix("output_")] for name in self._wanted}
        return widened(output.logits[:, -1])
