"""The losses that a language model is trained with."""

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.runtime.arrays import Array, sum_dtype, widened
from ovis2_ref.runtime.tape import differentiable


@differentiable
def causal_lm_loss(
    logits: Float[Array, "batch tokens vocabulary"], labels: Int[Array, "batch tokens"]
) -> Float[Array, ""]:
    """Return the mean of -log softmax(logits[t])[labels[t + 1]] over every t whose label is not -100 (transformers'
    `ForCausalLMLoss`).

    NaN where every label is -100, as in transformers.
    """
    targets = labels[:, 1:].reshape(-1)
    kept = np.nonzero(targets != -100)[0]
    scores = logits[:, :-1].reshape(-1, logits.shape[-1])[kept].astype(sum_dtype(logits.dtype))
    scores -= scores.max(axis=-1, keepdims=True)
    log_sums = np.log(np.exp(scores).sum(axis=-1))
    return np.mean(log_sums - scores[np.arange(len(kept), like=targets), targets[kept]])


@differentiable
def cross_entropy(
    logits: Float[Array, "rows words"], targets: Int[Array, " rows"], weights: Float[Array, " rows"]
) -> Float[Array, ""]:
    """Return the sum of weights[i] * -log softmax(logits[i])[targets[i]]; with weights of 1 / rows that is the mean."""
    scores = widened(logits) - widened(logits).max(axis=-1, keepdims=True)
    log_sums = np.log(np.exp(scores).sum(axis=-1))
    return (weights * (log_sums - scores[np.arange(len(targets), like=targets), targets])).sum()
