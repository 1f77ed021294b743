"""Backward formulas of the text embeddings and of the losses."""

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.language.decoder import embed_tokens
from ovis2_ref.language.loss import causal_lm_loss, cross_entropy
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array, array_module, rounded, widened
from ovis2_ref.runtime.tape import backward_of
from ovis2_ref.runtime.weights import Weights


def rows_summed(x: Float[Array, "rows n"], places: Int[Array, " rows"], count: int) -> Float[Array, "count n"]:
    """Return, for each number below `count`, the sum of the rows of `x` at whose place it stands."""
    sums = np.zeros((count, x.shape[-1]), widened(x).dtype, like=x)
    array_module(x).add.at(sums, places, widened(x))
    return rounded(sums, x.dtype)


@backward_of(embed_tokens)
def embed_tokens_backward(
    dy: Float[Array, "batch tokens hidden"], input_ids: Int[Array, "batch tokens"], w: Weights
) -> tuple[None, dict[str, Array]]:
    """dtable[i] = the sum of dy over all places where token i stands."""
    table = w / "embed_tokens"
    table.tap("output.gradient", dy)
    rows = rows_summed(dy.reshape(-1, dy.shape[-1]), input_ids.reshape(-1), len(table["weight"]))
    return None, {"embed_tokens.weight": rows}


@backward_of(causal_lm_loss)
def causal_lm_loss_backward(
    dy: Float[Array, ""], logits: Float[Array, "batch tokens vocabulary"], labels: Int[Array, "batch tokens"]
) -> Float[Array, "batch tokens vocabulary"]:
    """dlogits[t] = dy (softmax(logits[t]) - onehot(labels[t + 1])) / n over the n tokens t whose label is not -100, else 0."""
    dlogits = np.zeros_like(logits)
    rows, tokens = np.nonzero(labels[:, 1:] != -100)
    p = softmax(widened(logits[rows, tokens]))
    p[np.arange(len(p), like=p), labels[rows, tokens + 1]] -= 1
    dlogits[rows, tokens] = rounded(p * (dy / max(len(p), 1)), logits.dtype)
    return dlogits


@backward_of(cross_entropy)
def cross_entropy_backward(
    dy: Float[Array, ""],
    logits: Float[Array, "rows words"],
    targets: Int[Array, " rows"],
    weights: Float[Array, " rows"],
) -> Float[Array, "rows words"]:
    """dlogits[i] = dy weights[i] (softmax(logits[i]) - onehot(targets[i]))."""
    p = softmax(widened(logits))
    p[np.arange(len(p), like=p), targets] -= 1
    return rounded(p * (dy * weights)[:, None], logits.dtype)
