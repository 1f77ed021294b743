"""Backward formulas of attention and of the rotary embedding."""

from jaxtyping import Float

from ovis2_ref.gradients.ops import softmax_slope
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import attend, scale, softmax
from ovis2_ref.runtime.arrays import Array, rounded
from ovis2_ref.runtime.backward_blocks import by_queries_back
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.tape import backward_of
from ovis2_ref.runtime.weights import Weights


@backward_of(attend)
@by_queries_back
def attend_backward(
    dy: Float[Array, "batch heads tokens head_dim"],
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch kv_heads keys head_dim"],
    v: Float[Array, "batch kv_heads keys head_dim"],
    mask: Float[Array, "#batch #heads tokens keys"] | None,
    w: Weights,
) -> tuple[
    Float[Array, "batch heads tokens head_dim"],
    Float[Array, "batch kv_heads keys head_dim"],
    Float[Array, "batch kv_heads keys head_dim"],
]:
    """dv = p^T dy, dp = dy v^T, ds = p (dp - sum(dp p)), dq = ds k / sqrt(d), dk = ds^T q / sqrt(d); p as in `attend`.

    The gradients of a key head that several query heads share are summed over these: side by side, their tokens are more rows.
    """
    by_head, factor = (*q.shape[:3], k.shape[2]), q.shape[-1] ** -0.5
    q, dy = (x.reshape(*k.shape[:2], -1, x.shape[-1]) for x in (q, dy))  # (b, kv_heads, group * tokens, d)
    scores = scale(matmul(q, k.swapaxes(-1, -2)), factor).reshape(by_head)
    p = softmax(scores if mask is None else scores + mask)
    dp = w.tap("weights.gradient", matmul(dy, v.swapaxes(-1, -2)).reshape(by_head))
    ds = w.tap("scores.gradient", rounded(softmax_slope(dp, p), p.dtype))
    p, ds = (x.reshape(*k.shape[:2], -1, k.shape[2]) for x in (p, ds))
    dk = scale(matmul(ds.swapaxes(-1, -2), q), factor)
    return scale(matmul(ds, k), factor).reshape(*by_head[:3], -1), dk, matmul(p.swapaxes(-1, -2), dy)


@backward_of(rotate)
def rotate_backward(
    dy: Float[Array, "batch heads tokens head_dim"],
    x: Float[Array, "batch heads tokens head_dim"],
    cos: Float[Array, "#batch tokens pairs"],
    sin: Float[Array, "#batch tokens pairs"],
) -> Float[Array, "batch heads tokens head_dim"]:
    """dx = dy, rotated the other way: (da, db) -> (da cos + db sin, db cos - da sin)."""
    return rotate(dy, cos, -sin)
