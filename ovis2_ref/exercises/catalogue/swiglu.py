"""SwiGLU.

The feed-forward part of every block: two products go up to a wider space, one of them decides through SiLU how much of the
other goes through, and a third product comes down again (Shazeer, 2020, eq. 6).

    y = W_down (silu(W_gate x) * W_up x),    silu(z) = z / (1 + exp(-z))

A weight is stored as (outputs, inputs), torch's layout, so W x for rows of x is x @ W.T.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import activations, ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.runtime.weights import Weights


def swiglu(
    x: Float[np.ndarray, "*batch hidden"],
    gate_proj: Float[np.ndarray, "inner hidden"],
    up_proj: Float[np.ndarray, "inner hidden"],
    down_proj: Float[np.ndarray, "hidden inner"],
) -> Float[np.ndarray, "*batch hidden"]:
    """Return W_down (silu(W_gate x) * W_up x) for every row of `x`."""
    gate, up = x @ gate_proj.T, x @ up_proj.T
    activated = gate / (1 + np.exp(-gate))
    return (activated * up) @ down_proj.T


def project(x: np.ndarray, gate_proj: np.ndarray, up_proj: np.ndarray, down_proj: np.ndarray) -> np.ndarray:
    weights = {f"{name}_proj.weight": w for name, w in (("gate", gate_proj), ("up", up_proj), ("down", down_proj))}
    return ops.feed_forward(x, Weights(weights), "silu")


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape, inner in (((1,), 1), ((1, 2), 2), ((2, 2), 3), ((3, 3), 3), ((2, 3), 5), ((2, 2, 4), 3)):
        for dtype in (np.float64, np.float32):
            x, gate, up = rng.normal(size=shape), *rng.normal(size=(2, inner, shape[-1]))
            down = rng.normal(size=(shape[-1], inner))
            arrays = {"x": x, "gate_proj": gate, "up_proj": up, "down_proj": down}
            yield {name: array.astype(dtype) for name, array in arrays.items()}


EXERCISE = Exercise(
    answer=swiglu,
    expected=project,
    cases=cases,
    one_file="feed_forward",
    minutes=8,
    hints=(
        "Three products and one activation. Only one of the two that go up is activated.",
        (
            "gate = x @ gate_proj.T, up = x @ up_proj.T; the gate goes through silu, and the two are multiplied number by "
            "number."
        ),
        "(gate / (1 + np.exp(-gate)) * up) @ down_proj.T",
    ),
    wrong=(
        wrong(
            "the other one activated",
            "SiLU belongs to the gate, not to up.",
            ("gate / (1 + np.exp(-gate))", "gate"),
            ("(activated * up)", "(activated * up / (1 + np.exp(-up)))"),
        ),
        wrong("no activation", "The gate goes through SiLU.", ("gate / (1 + np.exp(-gate))", "gate")),
        wrong(
            "sigmoid for SiLU",
            "That is GLU. SiLU is z sigmoid(z).",
            ("gate / (1 + np.exp(-gate))", "1 / (1 + np.exp(-gate))"),
        ),
        wrong(
            "ReLU for SiLU", "SiLU is smooth: z / (1 + exp(-z)).", ("gate / (1 + np.exp(-gate))", "np.maximum(gate, 0)")
        ),
        wrong("GELU's 1.702", "That is quick-GELU; SiLU has exp(-z).", ("np.exp(-gate)", "np.exp(-1.702 * gate)")),
        wrong(
            "sign of the exponent",
            "exp(-z): a large z goes through, a very negative one doesn't.",
            ("np.exp(-gate)", "np.exp(gate)"),
        ),
        wrong("added", "The gate multiplies: silu(gate) * up.", ("activated * up", "activated + up")),
        wrong("up forgotten", "The activated gate is multiplied by up.", ("(activated * up)", "activated")),
        wrong("gate used twice", "up has a weight of its own.", ("x @ up_proj.T", "x @ gate_proj.T")),
        wrong(
            "activated after the product",
            "SiLU is applied to the gate alone, before the product.",
            ("gate / (1 + np.exp(-gate))", "gate * up / (1 + np.exp(-gate * up))"),
            ("(activated * up)", "activated"),
        ),
        wrong(
            "not transposed",
            "A weight is (outputs, inputs): x @ W.T. Without .T it fits by chance where both are equal.",
            ("gate_proj.T", "gate_proj"),
            ("up_proj.T", "up_proj"),
            ("down_proj.T", "down_proj"),
        ),
        wrong("a gain of 2", "silu(z) = z / (1 + exp(-z)), nothing before it.", ("gate / (1", "2 * gate / (1")),
        wrong("identity", "x comes back as it was.", ("(activated * up) @ down_proj.T", "x")),
    ),
    solution=(ops.feed_forward, ops.gated, activations.silu),
    notice=(
        "the weights' names are those of the checkpoint. In 16 bits the gate is rounded after the activation and after "
        "the product with up. exp(-z) overflows to infinity for a very negative z, and z / infinity is 0, which is right."
    ),
)
