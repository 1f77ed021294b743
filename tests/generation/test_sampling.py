"""Sampling: transformers' random stream can't be had, so what is drawn from is compared (test_scores.py), and here the drawing.

`draw` is the inverse of the distribution function, to the last place of it. Counts of what `generate` draws follow the
probabilities: Pearson's chi-square stays below the quantile that a right program exceeds once in a million times.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.generation import generate
from ovis2_ref.generation.randomness import draw, draw_several
from tests.generation.test_generate import fresh
from tests.generation.torch_backed import VOCABULARY, TorchBacked
from tests.strategies import seeds


def chi_square_bound(degrees: int) -> float:
    """Return the 1 - 1e-6 quantile of chi-square, by Wilson and Hilferty's cube (1931): z = 4.753; good to 1 % from 2 degrees
    on.
    """
    return degrees * (1 - 2 / (9 * degrees) + 4.753 * (2 / (9 * degrees)) ** 0.5) ** 3


def expect_drawn_from(counts: np.ndarray, probabilities: np.ndarray) -> None:
    """Fail unless the counts are those of draws with these probabilities; rare outcomes are taken together."""
    assert counts[probabilities == 0].sum() == 0
    expected = counts.sum() * probabilities
    rare = expected < 5
    pairs = [(counts[~rare], expected[~rare])]
    if rare.any() and expected[rare].sum() > 0:
        pairs.append((counts[rare].sum()[None], expected[rare].sum()[None]))
    statistic = sum(((c - e) ** 2 / e).sum() for c, e in pairs)
    assert statistic < chi_square_bound(max(sum(len(c) for c, _ in pairs) - 1, 2))


@given(seeds, st.floats(0, 1, exclude_max=True))
def test_draw_inverts_the_distribution_function(seed, uniform) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random((1, 9)) * (rng.random((1, 9)) < 0.6)
    p[0, rng.integers(0, 9)] = 1.0
    token = int(draw(p.astype(np.float32), np.array([uniform]))[0])
    p = p.astype(np.float32).astype(np.float64)[0]
    assert p[token] > 0
    assert p[:token].sum() / p.sum() <= uniform + 1e-15
    assert uniform - 1e-15 <= p[: token + 1].sum() / p.sum()


def test_draw_of_the_ends() -> None:
    """What has no probability isn't drawn by the smallest number, nor by the largest below 1."""
    p = np.array([[0.0, 1.0, 2.0, 0.0]] * 2)
    assert draw(p, np.array([0.0, np.nextafter(1.0, 0.0)])).tolist() == [1, 2]


@pytest.mark.parametrize("p", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], ids=str)
def test_draw_of_what_is_no_distribution(p) -> None:
    assert draw(np.array([p, [0.0, 1.0]]), np.array([0.5, 0.5])).tolist() == [-1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"temperature": 2.0, "top_k": 12},
        {"top_p": 0.8, "repetition_penalty": 1.4},
        {"min_p": 0.1, "temperature": 1.5},
    ],
    ids=str,
)
def test_tokens_follow_the_distribution(options) -> None:
    """4,000 first tokens against the probabilities that transformers draws from."""
    import torch

    ids, times = np.array([[3, 4, 5, 9]]), 4000
    model = fresh(1)
    drawn = generate(
        TorchBacked(model), ids, do_sample=True, max_new_tokens=1, num_return_sequences=times, generator=5, **options
    )
    with torch.no_grad():
        scores = model.generate(
            torch.from_numpy(ids), attention_mask=torch.ones(1, 4), do_sample=True, max_new_tokens=1, output_scores=True,
            return_dict_in_generate=True, **options,
        ).scores[0]  # fmt: skip
    probabilities = scores[0].double().softmax(-1).numpy()
    expect_drawn_from(np.bincount(drawn[:, -1], minlength=VOCABULARY), probabilities)


def test_rows_and_steps_are_drawn_apart() -> None:
    """Two rows of one prompt, two steps: all pairs occur as often as the product of their chances says."""

    class Fair(TorchBacked):
        def __call__(self, **arguments):
            output = super().__call__(**arguments)
            output.logits[:] = -np.inf
            output.logits[..., :3] = 0
            return output

    ids = generate(
        Fair(fresh(0)), np.array([[3]]), do_sample=True, max_new_tokens=2, num_return_sequences=3000, generator=1
    )
    expect_drawn_from(np.bincount(3 * ids[:, 1] + ids[:, 2], minlength=9), np.full(9, 1 / 9))
    expect_drawn_from(np.bincount(3 * ids[::2, 1] + ids[1::2, 1], minlength=9), np.full(9, 1 / 9))


def test_several_draws_without_replacement() -> None:
    """Ordered pairs (i, j) come with probability p_i p_j / (1 - p_i)."""
    p = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    with np.errstate(divide="ignore"):
        scores = np.log(np.tile(p, (6000, 1)))
    pairs = draw_several(scores, 2, np.random.default_rng(3))
    expected = p[:, None] * p / (1 - p[:, None]) * (1 - np.eye(5))
    expect_drawn_from(np.bincount(5 * pairs[:, 0] + pairs[:, 1], minlength=25), expected.reshape(-1))
    all_of_them = np.sort(draw_several(scores[:20], 5, np.random.default_rng(3)), axis=1)
    np.testing.assert_array_equal(all_of_them, np.tile(np.arange(5), (20, 1)))


def test_one_seed_one_answer() -> None:
    """The same seed gives the same ids, another seed others; a generator continues from its state."""
    model, ids = TorchBacked(fresh(2)), np.array([[3, 4]])
    options = {"do_sample": True, "max_new_tokens": 12, "temperature": 2.0}
    first = generate(model, ids, generator=7, **options)
    np.testing.assert_array_equal(first, generate(model, ids, generator=np.random.default_rng(7), **options))
    assert (first != generate(model, ids, generator=8, **options)).any()
    generator = np.random.default_rng(7)
    assert (
        generate(model, ids, generator=generator, **options) != generate(model, ids, generator=generator, **options)
    ).any()


@given(seeds, st.integers(2, 3))
def test_sampled_beams_are_beams(seed, beams) -> None:
    """With a temperature near 0 sampled beams are those of the search: the draws fall on the best."""
    model, ids = TorchBacked(fresh(seed)), np.array([[3, 4 + seed % 30]])
    options = {"num_beams": beams, "max_new_tokens": 1, "generator": seed}
    sampled = generate(model, ids, do_sample=True, temperature=1e-3, **options)
    np.testing.assert_array_equal(sampled, generate(model, ids, **options))
