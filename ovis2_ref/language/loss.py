"""The loss that a language model is trained with, for comparing a training step; nothing here trains."""

from jaxtyping import Float, Int

from ovis2_ref.runtime.arrays import Array, array_module, sum_dtype


def causal_lm_loss(
    logits: Float[Array, "batch tokens vocabulary"], labels: Int[Array, "batch tokens"]
) -> Float[Array, ""]:
    """Return the mean of -log softmax(logits[t])[labels[t + 1]] over every t whose label is not -100 (transformers'
    `ForCausalLMLoss`).

    NaN where every label is -100, as in transformers.
    """
    xp = array_module(logits)
    targets = labels[:, 1:].reshape(-1)
    kept = xp.nonzero(targets != -100)[0]
    scores = logits[:, :-1].reshape(-1, logits.shape[-1])[kept].astype(sum_dtype(logits.dtype))
    scores -= scores.max(axis=-1, keepdims=True)
    log_sums = xp.log(xp.exp(scores).sum(axis=-1))
    return xp.mean(log_sums - scores[xp.arange(len(kept)), targets[kept]])
