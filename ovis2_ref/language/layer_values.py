"""`output_hidden_states` and `output_attentions`: served by listening to the decoder's taps."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.taps import listening
from ovis2_ref.runtime.weights import Weights


@contextmanager
def layer_values(
    language_model: Weights, layers: int, output_hidden_states: bool, output_attentions: bool
) -> Iterator[dict[str, tuple[Array, ...] | None]]:
    """Collect the decoder's `hidden_states` and `attentions` inside the block; those not asked for are None.

    hidden_states: the embeddings, then each layer's output, the last one after the final norm.
    """
    name, taken = language_model.name, dict[str, Array]()
    states = [f"{name}.inputs_embeds", *(f"{name}.layers.{i}.output" for i in range(layers - 1)), f"{name}.norm.output"]
    weights = [f"{name}.layers.{i}.self_attn.weights" for i in range(layers)]
    wanted = {
        "hidden_states": states if output_hidden_states else [],
        "attentions": weights if output_attentions else [],
    }
    values: dict[str, tuple[Array, ...] | None] = {}
    names = {*wanted["hidden_states"], *wanted["attentions"]}
    with listening(taken.__setitem__, names.__contains__) if names else nullcontext():
        yield values
    values |= {key: tuple(taken[name] for name in names) or None for key, names in wanted.items()}
