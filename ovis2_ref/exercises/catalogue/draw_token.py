"""Draw a token.

Sampling chooses the next token at random, by its probability. A temperature below 1 sharpens the distribution first, one
above 1 flattens it.

    p = softmax(logits / temperature)

To draw with one uniform number u from [0, 1): lay the probabilities side by side on a line of length 1, and take the token
whose piece holds u. Token i has the piece from p_0 + ... + p_(i-1), which belongs to it, to p_0 + ... + p_i, which doesn't.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.generation import randomness, truncation


def draw_token(
    logits: Float[np.ndarray, "batch vocabulary"], temperature: float, uniform: Float[np.ndarray, " batch"]
) -> Int[np.ndarray, " batch"]:
    """Return the token that each row's number in `uniform` draws from softmax(logits / temperature)."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    edges = np.cumsum(powers, axis=1)
    return (edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1)


def project(logits: np.ndarray, temperature: float, uniform: np.ndarray) -> np.ndarray:
    return randomness.draw(ops.softmax(truncation.temperature(logits, temperature)), uniform)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for logits, temperature, uniform in (
        ([[0.0, 0.0]], 1.0, [0.25]),
        ([[0.0, 0.0]], 1.0, [0.75]),
        ([[0.0, 0.0]], 1.0, [0.5]),
        ([[0.0, 2.0]], 1.0, [0.3]),
        ([[2.0, 0.0]], 4.0, [0.7]),
        ([[2.0, 0.0, 1.0]], 0.5, [0.0]),
        ([[-np.inf, 1.0, 0.0]], 1.0, [0.0]),
        ([[1000.0, 999.0]], 1.0, [0.8]),
        ([[0.0] * 10], 1.0, [1 - 2**-53]),  # ten times 0.1 is 1 - 2^-53, in binary
        ([[1000.0, 1000.0], [0.0, 0.0]], 1.0, [0.8, 0.2]),
    ):
        yield {"logits": np.array(logits), "temperature": temperature, "uniform": np.array(uniform)}
    for batch, vocabulary, temperature in ((2, 3, 0.7), (3, 3, 1.5), (4, 6, 1.0), (6, 8, 0.5)):
        yield {
            "logits": rng.normal(0, 2, (batch, vocabulary)),
            "temperature": temperature,
            "uniform": rng.uniform(size=batch),
        }


EXERCISE = Exercise(
    answer=draw_token,
    expected=project,
    cases=cases,
    minutes=10,
    hints=(
        "The edges of the pieces are cumulated probabilities. How many edges lie at or before u?",
        "np.cumsum over the softmax; compare with u in a column, and count the edges that are not above it.",
        "(edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1): the line is as long as its last edge, not exactly 1.",
    ),
    wrong=(
        wrong(
            "the likeliest",
            "Draw by u; argmax is greedy search.",
            ("(edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1)", "logits.argmax(axis=1)"),
        ),
        wrong(
            "temperature multiplied",
            "A low temperature sharpens: divide by it.",
            ("logits / temperature", "logits * temperature"),
        ),
        wrong("no temperature", "The logits are divided by the temperature.", ("logits / temperature", "logits")),
        wrong(
            "the piece's end belongs to it",
            "A piece holds its beginning, not its end: count the edges <= u.",
            ("edges <= uniform", "edges < uniform"),
        ),
        wrong(
            "u not scaled",
            "Without the division by the sum, the line is as long as the sum: scale u, or divide.",
            ("uniform[:, None] * edges[:, -1:]", "uniform[:, None]"),
        ),
        wrong(
            "all tokens alike",
            "The pieces are as long as the probabilities.",
            ("(edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1)", "(uniform * logits.shape[-1]).astype(int)"),
        ),
        wrong(
            "1 - u", "The line begins with token 0.", ("edges <= uniform[:, None]", "edges <= (1 - uniform[:, None])")
        ),
        wrong(
            "one token too far",
            "The token is the number of edges at or before u.",
            (".sum(axis=1)", ".sum(axis=1) + 1"),
        ),
        wrong(
            "the rows mixed",
            "Each row has its own line: cumulate along the last axis.",
            ("np.cumsum(powers, axis=1)", "np.cumsum(powers, axis=0)"),
        ),
        wrong(
            "likeliest first",
            "The pieces lie in the order of the tokens, not sorted.",
            ("np.cumsum(powers, axis=1)", "np.cumsum(-np.sort(-powers, axis=1), axis=1)"),
        ),
        wrong(
            "overflow",
            "Subtract each row's maximum before exp.",
            ("np.exp(scaled - scaled.max(axis=1, keepdims=True))", "np.exp(scaled)"),
        ),
        wrong(
            "logits for probabilities",
            "The softmax is missing.",
            ("np.exp(scaled - scaled.max(axis=1, keepdims=True))", "scaled - scaled.min(axis=1, keepdims=True)"),
        ),
        wrong(
            "temperature on the probabilities",
            "The logits are divided before the softmax; afterwards it divides out again.",
            ("logits / temperature", "logits"),
            (
                "edges = np.cumsum(powers, axis=1)",
                "edges = np.cumsum(powers / temperature / powers.sum(axis=1, keepdims=True), axis=1)",
            ),
            ("uniform[:, None] * edges[:, -1:]", "uniform[:, None]"),
        ),
        wrong("an array of booleans", "Count the edges: sum, not any.", (".sum(axis=1)", ".any(axis=1).astype(int)")),
        wrong(
            "the line taken to end at 1",
            "Sums of rounded probabilities end beside 1, and a u close to 1 can lie behind. Multiply u by the last edge.",
            ("np.cumsum(powers, axis=1)", "np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)"),
            ("uniform[:, None] * edges[:, -1:]", "uniform[:, None]"),
        ),
        wrong(
            "argmax where no edge lies above u",
            "argmax of a row without True is 0. Sums of rounded probabilities can end below u: multiply u by the last edge.",
            ("np.cumsum(powers, axis=1)", "np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)"),
            ("(edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1)", "(edges > uniform[:, None]).argmax(axis=1)"),
        ),
    ),
    solution=(randomness.draw, truncation.temperature),
    notice=(
        "one uniform number for each row comes from a generator, so a seed tells the whole text. The sums are carried "
        "in float64: of 150,000 probabilities in float32 the last would be off."
    ),
)
