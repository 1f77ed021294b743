"""Rotary tables.

Rotary embedding tells a token's position by turning its queries and keys, pair of numbers by pair, by angles that grow with
the position; each pair turns at its own speed (Su et al., 2021, section 3.2.2).

    angle[p, i] = p theta^(-2 i / head_dim)    for position p and pair i = 0 ... head_dim / 2 - 1

Pair 0 turns by 1 radian a token, the last by little more than 1 / theta. cos and sin of the angles are the same in all
layers and heads, so they are computed once.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import rope


def rotary_tables(
    positions: Int[np.ndarray, "batch tokens"], head_dim: int, theta: float
) -> tuple[Float[np.ndarray, "batch tokens pairs"], Float[np.ndarray, "batch tokens pairs"]]:
    """Return cos and sin of the angle of every position and pair, as float32."""
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = positions[:, :, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def one_by_one(positions: np.ndarray, head_dim: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as powers of one complex number for each pair."""
    turns = [np.exp(1j * theta ** (-2 * i / head_dim)) for i in range(head_dim // 2)]
    table = np.array([[[turn ** int(p) for turn in turns] for p in row] for row in positions])
    return table.real.astype(np.float32), table.imag.astype(np.float32)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for positions, head_dim, theta in (
        ([[0]], 2, 10.0),
        ([[1]], 2, 10.0),
        ([[1]], 4, 10.0),
        ([[0, 1, 2]], 4, 100.0),
        ([[0, 1], [5, 6]], 4, 10000.0),
        ([[3, 4, 5, 6]], 8, 1e6),
        ([[0, 0, 1], [7, 8, 9]], 6, 1e4),
        ([[20, 30]], 16, 1e6),
        ([[4, 1, 3], [2, 9, 0]], 4, 100.0),
    ):
        yield {"positions": np.array(positions), "head_dim": head_dim, "theta": theta}


EXERCISE = Exercise(
    answer=rotary_tables,
    expected=one_by_one,
    cases=cases,
    one_file="rotary_tables",
    minutes=10,
    hints=(
        "First one frequency for each pair, then every position times every frequency.",
        "np.arange(0, head_dim, 2) is 2 i for all pairs; positions[:, :, None] lets positions meet frequencies.",
        "frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)",
    ),
    wrong=(
        wrong(
            "i for 2 i", "The exponent is -2 i / head_dim.", ("np.arange(0, head_dim, 2)", "np.arange(head_dim // 2)")
        ),
        wrong(
            "sign of the exponent", "Later pairs turn slower: the exponent is negative.", ("-np.arange", "+np.arange")
        ),
        wrong(
            "pairs counted from 1",
            "Pair 0 turns by 1 radian a token.",
            ("np.arange(0, head_dim, 2)", "np.arange(2, head_dim + 2, 2)"),
        ),
        wrong(
            "positions counted from 1",
            "Position p turns by p times the frequency; position 0 doesn't turn.",
            ("positions[:, :, None]", "(positions[:, :, None] + 1)"),
        ),
        wrong(
            "cos and sin exchanged",
            "cos comes first.",
            ("np.cos(angles)", "np.sin(angles)"),
            ("np.float32), np.sin(angles)", "np.float32), np.cos(angles)"),
        ),
        wrong(
            "degrees",
            "NumPy takes radians, and so does the formula.",
            ("positions[:, :, None] * frequencies", "np.deg2rad(positions[:, :, None] * frequencies)"),
        ),
        wrong(
            "whole turns",
            "The frequency is in radians a token, not in turns.",
            ("positions[:, :, None] * frequencies", "2 * np.pi * positions[:, :, None] * frequencies"),
        ),
        wrong(
            "every column twice",
            "One column for each pair; transformers' tables hold each twice.",
            (
                "angles = positions[:, :, None] * frequencies",
                "angles = positions[:, :, None] * np.tile(frequencies, 2)",
            ),
        ),
        wrong(
            "frequencies in equal steps",
            "The frequencies fall as powers of theta.",
            (
                "theta ** (-np.arange(0, head_dim, 2) / head_dim)",
                "1 / (1 + np.arange(0, head_dim, 2) / head_dim * theta)",
            ),
        ),
        wrong(
            "half the width",
            "The exponent is divided by head_dim, not by the number of pairs.",
            ("/ head_dim)", "/ (head_dim / 2))"),
        ),
        wrong(
            "all pairs alike",
            "Each pair has its own frequency.",
            ("-np.arange(0, head_dim, 2)", "-np.zeros(head_dim // 2)"),
        ),
        wrong("sin turned around", "sin is that of the angle itself.", ("np.sin(angles)", "np.sin(-angles)")),
        wrong(
            "float64 by accident",
            "The tables are float32.",
            ("np.cos(angles).astype(np.float32)", "np.cos(angles)"),
            ("np.sin(angles).astype(np.float32)", "np.sin(angles)"),
        ),
        wrong(
            "places for positions",
            "The positions are given: rows that are padded don't begin at 0.",
            (
                "positions[:, :, None] * frequencies",
                "(np.zeros_like(positions) + np.arange(positions.shape[1]))[:, :, None] * frequencies",
            ),
        ),
    ),
    solution=(rope.rotary_tables, rope.inverse_frequencies),
    notice=(
        "the frequencies are rounded to float32 whatever the model computes in, as they were in training: at position "
        "100,000 that shows. theta is 1,000,000 in Qwen2.5, so the slowest pair turns once in four to five million tokens."
    ),
)
