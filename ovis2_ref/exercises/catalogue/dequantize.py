"""Unpack GPTQ weights.

The released Ovis2 models of 4 bits hold no weights, but whole numbers q, eight of them in a word of 32 bits, with a scale s and a
zero point z for each output and each group g of inputs (Frantar et al., 2023). A matrix that is needed is computed from them:

    W[o, i] = s[g, o] (q[i, o] - z[g, o]),  g = g_idx[i]

A word holds f = 32 / bits numbers, the first in its lowest bits. The words of q lie along the inputs: word (r, o) holds the
inputs r f to r f + f - 1 of output o. The words of z lie along the outputs: word (g, p) holds the outputs p f to p f + f - 1 of
group g.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.checkpoint import gptq
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong


def dequantize(
    qweight: Int[np.ndarray, "in_words out"],
    qzeros: Int[np.ndarray, "groups out_words"],
    scales: Float[np.ndarray, "groups out"],
    g_idx: Int[np.ndarray, " in"],
    bits: int,
) -> Float[np.ndarray, "out in"]:
    """Return W[o, i] = s[g, o] (q[i, o] - z[g, o]) with g = g_idx[i], where numbers of `bits` bits lie in words of 32."""
    shifts, mask = np.arange(0, 32, bits), 2**bits - 1
    q = (qweight[:, None] >> shifts[:, None] & mask).reshape(-1, qweight.shape[1])
    z = (qzeros[:, :, None] >> shifts & mask).reshape(len(qzeros), -1)
    return (scales[g_idx] * (q - z[g_idx])).T


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for bits, in_words, out_words, groups, mixed in (
        (8, 1, 1, 1, False),
        (4, 1, 1, 1, False),
        (4, 2, 1, 2, False),
        (8, 4, 2, 2, True),
        (4, 2, 2, 4, True),
        (2, 1, 1, 4, True),
        (4, 3, 2, 3, True),
    ):
        numbers = 32 // bits
        inputs, out = in_words * numbers, out_words * numbers
        groups_of = np.arange(inputs) * groups // inputs
        yield {
            "qweight": rng.integers(-(2**31), 2**31, (in_words, out)),
            "qzeros": rng.integers(-(2**31), 2**31, (groups, out_words)),
            "scales": rng.uniform(0.01, 0.1, (groups, out)),
            "g_idx": rng.permutation(groups_of) if mixed else groups_of,
            "bits": bits,
        }


EXERCISE = Exercise(
    answer=dequantize,
    expected=gptq.dequantize,
    cases=cases,
    minutes=20,
    hints=(
        "Unpack q to (in, out) and z to (groups, out) first. Then each is one index by g_idx away from the formula.",
        (
            "word >> bits * j & 2**bits - 1 is number j of a word. Give the shifts an axis of their own, behind the axis along "
            "which the words lie, and reshape."
        ),
        "(scales[g_idx] * (q - z[g_idx])).T, with q = (qweight[:, None] >> shifts[:, None] & mask).reshape(-1, out)",
    ),
    wrong=(
        wrong(
            "zero points off by one",
            "These words hold z itself. (Files called \"gptq\" hold z - 1, those called \"gptq_v2\" z.)",
            ("(q - z[g_idx])", "(q - z[g_idx] - 1)"),
        ),
        wrong(
            "group index ignored",
            "The inputs of a group need not be neighbours: g_idx says the group of each.",
            ("shifts, mask =", "g_idx = np.sort(g_idx)\n    shifts, mask ="),
        ),
        wrong(
            "packed along the other axis",
            "The numbers of a word are neighbouring inputs: number j of word r is input r f + j, not j words + r.",
            ("qweight[:, None] >> shifts[:, None]", "qweight[None] >> shifts[:, None, None]"),
        ),
        wrong(
            "highest bits first",
            "The first number lies in the lowest bits.",
            ("np.arange(0, 32, bits)", "np.arange(32 - bits, -1, -bits)"),
        ),
        wrong("one group for all", "z has a row for each group.", ("z[g_idx]", "z[0]")),
        wrong("one scale for all", "s has a row for each group.", ("scales[g_idx]", "scales[0]")),
        wrong("zero points forgotten", "z is the number that stands for a weight of 0.", ("(q - z[g_idx])", "q")),
        wrong("scales forgotten", "q - z is in steps; s is the size of a step.", ("scales[g_idx] * ", "1.0 * ")),
        wrong(
            "zero points not scaled",
            "z is taken from q, in steps, before the scale.",
            ("scales[g_idx] * (q - z[g_idx])", "(scales[g_idx] * q - z[g_idx])"),
        ),
        wrong(
            "rest of the word kept",
            "& 2**bits - 1 keeps one number of the word.",
            ("shifts[:, None] & mask", "shifts[:, None]"),
        ),
        wrong(
            "always four bits",
            "A file may have 2, 4 or 8 bits.",
            ("np.arange(0, 32, bits), 2**bits - 1", "np.arange(0, 32, 4), 15"),
        ),
        wrong("not transposed", "The result is (out, in), as `weight` has it.", (").T", ")")),
        wrong("sign forgotten", "Weights below 0 have q below z.", ("(q - z[g_idx])", "np.abs(q - z[g_idx])")),
    ),
    solution=(gptq.dequantize, gptq.unpack),
    notice=(
        "one function unpacks both: it puts the numbers of each word one below the other, and z is turned before and after. "
        "A file of kind \"gptq\" stores z - 1; `plain_zeros` adds the 1 to all numbers of a word at once."
    ),
)  # fmt: skip
