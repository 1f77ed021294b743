"""The whole model: from tiles and tokens to hidden states, logits, a loss or an answer.

The two classes check their arguments and call the functions that compute.
"""

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD
from ovis2_ref.checkpoint.pretrained import PretrainedModel
from ovis2_ref.compat.arguments import script_arguments
from ovis2_ref.compat.authors_names import AuthorsNames
from ovis2_ref.compat.idle import FEATURES, FORWARD
from ovis2_ref.compat.model_names import MatrixFunction
from ovis2_ref.compat.outputs import CausalLMOutput, ImageFeatures, ModelOutput
from ovis2_ref.compat.tensors import with_tensors
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, shown, whole
from ovis2_ref.generation.generative_model import GenerativeModel
from ovis2_ref.gradients import value_and_gradient
from ovis2_ref.language.cache import KVCache, StaticCache
from ovis2_ref.language.decoder import decoder, embed_tokens
from ovis2_ref.language.forward_pass import forward_pass
from ovis2_ref.language.layer_values import layer_values
from ovis2_ref.language.loss import causal_lm_loss
from ovis2_ref.merge import atom_places, image_features, merge_embeddings
from ovis2_ref.model_arguments import check_labels, checked_array, checked_arrays, kept_tokens
from ovis2_ref.ops import linear
from ovis2_ref.runtime.arrays import Array, array_module
from ovis2_ref.runtime.engine import engaged
from ovis2_ref.runtime.products import decoding_step
from ovis2_ref.runtime.weights import Weights


class Ovis2Model(PretrainedModel):
    """Ovis2 without its output head: from tokens and tiles to hidden states (transformers' `Ovis2Model`)."""

    parameter_prefix = "model."

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """Return an empty KV cache with room for `capacity` tokens of each of `batch` sequences."""
        sizes = whole("batch", batch, 1), whole("capacity", capacity)
        return KVCache(self.config.text_config, *sizes, self.compute_dtype, self.xp)

    @with_tensors
    @script_arguments(FEATURES, {})
    @engaged
    def get_image_features(self, pixel_values: Array, noise: Array | int = 0) -> ImageFeatures:
        """Return the visual embeddings of the tiles `pixel_values` (tiles, channels, side, side), with what led to them.

        `noise` is for a model of `tokenize_function="gumbel_argmax"` alone: standard Gumbel noise, or a seed to draw it from.
        """
        pixels = checked_arrays(self, None, {"pixel_values": pixel_values})["pixel_values"]
        pixels = pixels.astype(self.compute_dtype, copy=False)
        return ImageFeatures(*image_features(pixels, self.parts, self.config, self.convention, noise))

    @with_tensors
    def get_input_embeddings(self, input_ids: Array | None = None) -> Any:
        """Return the text table's rows for `input_ids` (batch, tokens); without ids, a callable table.

        Placeholders below 0 get row 0. Raises `InputError` for other ids outside the table.
        """
        if input_ids is None:
            return MatrixFunction(self.weights[EMBEDDINGS], self.get_input_embeddings)
        ids = checked_array("input_ids", input_ids, self.xp)
        self._check_ids(ids, self._lowest_placeholder)
        return self._text_rows(ids)

    def _text_rows(self, ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens hidden"]:
        return embed_tokens(self.xp.maximum(ids, 0), self.parts / "model" / "language_model")

    @with_tensors
    def get_placeholder_mask(
        self, input_ids: Array | None, inputs_embeds: Array | None, image_features: Array
    ) -> Bool[Array, "batch tokens 1"]:
        """Return True where a visual token goes: by id, or, without ids, where the embedding is that of the image token.

        Raises `InputError` if there are not as many of them as `image_features` (tiles, tokens, hidden) has tokens.
        """
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "image_features": image_features}
        arrays = checked_arrays(self, None, given)
        if image_features is None or (input_ids is None and inputs_embeds is None):
            raise InputError("get_placeholder_mask takes input_ids or inputs_embeds, and image_features")
        ids = self._placeholder_ids(arrays["input_ids"], arrays["inputs_embeds"])
        atom_places(ids, image_features, self.config)
        return (ids == self.config.image_token_id)[..., None]

    def _placeholder_ids(self, input_ids: Array | None, inputs_embeds: Array) -> Int[Array, "batch tokens"]:
        """Return the ids; where only embeddings were given, the placeholders' ids by comparing embeddings, and else -1."""
        if input_ids is not None:
            return input_ids
        ids = self.xp.full(inputs_embeds.shape[:2], -1, dtype=np.int64)
        if self.convention.placeholders_in_vocabulary:
            for token in (self.config.image_token_id, *self.config.visual_indicator_token_ids):
                ids[(inputs_embeds == self.weights[EMBEDDINGS][token]).all(axis=-1)] = token
        return ids

    def _embed(
        self, input_ids: Array | None, inputs_embeds: Array | None, pixel_values: Array | None
    ) -> tuple[Array, Array | None]:
        """Return the embeddings that go into the language model, and the visual ones among them (None without pictures)."""
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            self._check_ids(input_ids, 0 if pixel_values is None else self._lowest_placeholder)
            embeddings = self._text_rows(input_ids)
        else:
            embeddings = inputs_embeds.astype(self.compute_dtype, copy=False)
        if pixel_values is None:
            return embeddings, None
        images = self.get_image_features(pixel_values)
        ids = self._placeholder_ids(input_ids, embeddings)
        visual = images.pooler_output
        return merge_embeddings(ids, embeddings, visual, images.visual_indicator_features, self.config), visual

    @property
    def _lowest_placeholder(self) -> int:
        """The smallest id that a prompt with pictures may hold."""
        return min(0, self.config.image_token_id, *self.config.visual_indicator_token_ids)

    def _check_ids(self, ids: Int[Array, "batch tokens"], lowest: int) -> None:
        """Raise `InputError` for ids that aren't from `lowest` to the last of the vocabulary."""
        if ids.shape[1] == 1 and array_module(ids) is not np:
            return  # a decoding step on a GPU: checking the ids would make the CPU wait for the GPU at every token
        if ids.size and (int(ids.min()) < lowest or int(ids.max()) >= self.config.text_config.vocab_size):
            raise InputError(
                f"input_ids run from {int(ids.min())} to {int(ids.max())}; this model's vocabulary from 0 to "
                f"{self.config.text_config.vocab_size - 1}"
                + ("; placeholders below 0 need pixel_values" if lowest == 0 else "")
            )

    @with_tensors
    @script_arguments(FORWARD, {"cache": "past_key_values"})
    @engaged
    def forward(
        self,
        input_ids: Array | None = None,
        pixel_values: Array | None = None,
        attention_mask: Array | None = None,
        position_ids: Array | None = None,
        past_key_values: KVCache | StaticCache | None = None,
        inputs_embeds: Array | None = None,
        use_cache: bool = True,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> ModelOutput | tuple[Any, ...]:
        """Return the hidden states of every token.

        input_ids (batch, tokens) or inputs_embeds (batch, tokens, hidden); pixel_values (tiles, channels, side, side), the
        tiles of all pictures in reading order; attention_mask (batch, past + tokens), 0 at padding; position_ids (batch, tokens).
        Raises `InputError` for arguments that don't fit the model or each other.
        """
        check_flags(return_dict=return_dict)
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "pixel_values": pixel_values}
        given |= {"attention_mask": attention_mask, "position_ids": position_ids}
        with decoding_step(_is_step(past_key_values, input_ids, inputs_embeds)):
            output = self._hidden_states(given, past_key_values, use_cache, output_attentions, output_hidden_states)
        return output if return_dict else output.to_tuple()

    def _hidden_states(
        self,
        given: dict[str, Any],
        cache: KVCache | StaticCache | None,
        use_cache: bool,
        output_attentions: bool,
        output_hidden_states: bool,
    ) -> ModelOutput:
        """Check the arguments of `forward`, arrays in `given`, and return the hidden states of every token."""
        check_flags(use_cache=use_cache, output_attentions=output_attentions, output_hidden_states=output_hidden_states)
        arrays = checked_arrays(self, cache, given)
        embeddings, visual = self._embed(arrays["input_ids"], arrays["inputs_embeds"], arrays["pixel_values"])
        if cache is None and use_cache:
            cache = self.new_cache(*embeddings.shape[:2])
        config, part = self.config.text_config, self.parts / "model" / "language_model"
        this = forward_pass(embeddings, config, arrays["position_ids"], arrays["attention_mask"], cache)
        with layer_values(part, config.num_hidden_layers, output_hidden_states, output_attentions) as values:
            last = decoder(embeddings, part, config, this)
        return ModelOutput(last, cache, **values, image_hidden_states=visual)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return the same as `forward`."""
        return self.forward(*arguments, **options)


def _is_step(cache: Any, input_ids: Any, inputs_embeds: Any) -> bool:
    """Return True if each row has one new token after those in a cache: a decoding step, after which others follow."""
    tokens = input_ids if inputs_embeds is None else inputs_embeds
    return cache is not None and getattr(tokens, "shape", ())[1:2] == (1,)


class Ovis2ForConditionalGeneration(AuthorsNames, GenerativeModel, Ovis2Model):
    """Ovis2 with its output head: from tokens and tiles to logits, a loss, or an answer (transformers' class of that name)."""

    @with_tensors
    def lm_head(self, hidden: Float[Array, "batch tokens hidden"]) -> Float[Array, "batch tokens vocabulary"]:
        """Return the scores of every token of the vocabulary, W hidden; W of a tied head is the text table."""
        hidden, width = checked_array("hidden", hidden, self.xp), self.config.text_config.hidden_size
        if hidden is None or hidden.shape[2] != width:
            raise InputError(f"lm_head takes hidden states (batch, tokens, {width}), not {shown(hidden)}")
        tied = self.config.tie_word_embeddings
        table = self.weights[EMBEDDINGS if tied else HEAD]
        return linear(hidden, Weights({HEAD: table}) / "lm_head")

    @with_tensors
    @script_arguments(FORWARD, {"cache": "past_key_values"})
    @engaged
    def forward(  # type: ignore[override]
        self,
        input_ids: Array | None = None,
        pixel_values: Array | None = None,
        attention_mask: Array | None = None,
        position_ids: Array | None = None,
        past_key_values: KVCache | StaticCache | None = None,
        inputs_embeds: Array | None = None,
        labels: Array | None = None,
        use_cache: bool = True,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        logits_to_keep: int | Array = 0,
        return_dict: bool = True,
    ) -> CausalLMOutput | tuple[Any, ...]:
        """Return the logits of the next token after every token, and the loss if `labels` (batch, tokens) are given.

        `logits_to_keep`: only for the last so many tokens (0: all), or for the tokens with these indices, negative ones from
        the end. Raises `InputError` as the model without its head does, and for an index of no token.
        """
        check_flags(return_dict=return_dict)
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "pixel_values": pixel_values}
        given |= {"attention_mask": attention_mask, "position_ids": position_ids}
        labels = checked_array("labels", labels, self.xp)
        with decoding_step(_is_step(past_key_values, input_ids, inputs_embeds)):
            output = self._hidden_states(given, past_key_values, use_cache, output_attentions, output_hidden_states)
            hidden = output.last_hidden_state
            logits = self.lm_head(hidden[:, kept_tokens(logits_to_keep, hidden.shape[1], self.xp)])
        if labels is not None:
            check_labels(labels, logits, self.config.text_config.vocab_size)
        loss = None if labels is None else causal_lm_loss(logits, labels)
        result = CausalLMOutput(
            loss, logits, output.past_key_values, output.hidden_states, output.attentions, output.image_hidden_states
        )
        return result if return_dict else result.to_tuple()

    @with_tensors
    @engaged
    def loss_and_gradients(
        self, labels: Array, num_items_in_batch: int | None = None, **inputs: Any
    ) -> tuple[Array, dict[str, Array]]:
        """Return the loss and its gradients by name: of every weight, and of `inputs_embeds` and `pixel_values` if given.

        `inputs` are those of `forward`; this call takes the place of `loss.backward()`. A tied head has its gradient under the
        text table's name. The loss is a mean over the labels, or their sum divided by `num_items_in_batch`. Within `recording()`
        the gradient of each recorded value follows as NAME.gradient.
        Raises `InputError` as `forward` does.
        """
        given = dict[str, Array]()
        for name in ("inputs_embeds", "pixel_values"):
            if inputs.get(name) is not None:
                given[name] = checked_array(name, inputs[name], self.xp).astype(self.compute_dtype, copy=False)
        labels = checked_array("labels", labels, self.xp)
        share = 1.0
        if num_items_in_batch is not None:
            share = int((labels[:, 1:] != -100).sum()) / whole("num_items_in_batch", num_items_in_batch, 1)

        def loss_of(w: Weights) -> Array:
            weights = {name: w[name] for name in self.weights}
            model = Ovis2ForConditionalGeneration(self.config, weights, self.convention)
            recorded = {name: w[name] for name in given}
            return model(**inputs | recorded, labels=labels, use_cache=False).loss * share

        return value_and_gradient(loss_of, dict(self.weights) | given)

    @cached_property
    def model(self) -> Ovis2Model:
        """The model without its output head, of the same weights."""
        return Ovis2Model(self.config, self.weights, self.convention)

    @property
    def fuses_attention(self) -> bool:  # type: ignore[override]
        """Whether a GPU computes attention as one kernel: the same for the model with its head and without."""
        return self.model.fuses_attention

    @fuses_attention.setter
    def fuses_attention(self, fuses: bool) -> None:
        self.model.fuses_attention = fuses
