"""What the language tests are drawn over, beside the shared strategies."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@st.composite
def masks(draw: st.DrawFn, batch: int, keys: int) -> np.ndarray:
    """Padding (batch, keys): on the left, on the right, with holes, of a whole sequence; ones elsewhere."""
    kind = draw(st.sampled_from(["none", "left", "right", "holes"]))
    if kind == "holes":
        return draw(arrays(np.int64, (batch, keys), elements=st.integers(0, 1)))
    lengths = np.array(draw(st.lists(st.integers(0, keys), min_size=batch, max_size=batch)))[:, None]
    if kind == "none":
        return np.ones((batch, keys), dtype=np.int64)
    index = np.arange(keys)[None]
    return (index < lengths if kind == "right" else index >= keys - lengths).astype(np.int64)
