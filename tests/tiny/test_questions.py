"""Answers are checked by reading each request anew and working it out from a plain list of shapes."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.tiny.training.questions import ASKERS, ask, in_other_words
from ovis2_ref.tiny.training.scenes import WIDE_SORTS, draw_scene, draw_wide_scene

seeds = st.integers(0, 10_000_000)


def article(name):
    """Put the article that English wants before a name of ours: only orange begins with a vowel."""
    return f"an {name}" if name.startswith("orange") else f"a {name}"


def sentence(text):
    """Begin with a capital letter and end with a full stop."""
    return text[0].upper() + text[1:] + "."


def expected_answer(shapes, request):
    """Work out the answer from (x, colour, kind) in any order; x is the place from the top for shapes of one column."""
    names = [f"{colour} {kind}" for _, colour, kind in sorted(shapes)]
    if re.fullmatch(r"Describe the (image|picture)\.|What do you see\?", request):
        parts = [article(name) for name in names]
        return (
            "Nothing."
            if not parts
            else sentence({1: "{}", 2: "{} and {}", 3: "{}, {} and {}"}[len(parts)].format(*parts))
        )
    if request.startswith("How many shapes"):
        return {0: "None.", 1: "One.", 2: "Two.", 3: "Three."}[len(names)]
    if found := re.fullmatch(r"What colou?r is the (\w+)\?", request):
        (colour,) = [colour for _, colour, kind in shapes if kind == found[1]]
        return f"The {found[1]} is {colour}."
    if found := re.fullmatch(r"What shape is (\w+)\?", request):
        (kind,) = [kind for _, colour, kind in shapes if colour == found[1]]
        return sentence(article(kind))
    if found := re.fullmatch(r"Is there an? (\w+ \w+)\?", request):
        return "Yes." if found[1] in names else "No."
    if found := re.fullmatch(r"Is the (\w+ \w+) left of the (\w+ \w+)\?", request):
        return "Yes." if names.index(found[1]) < names.index(found[2]) else "No."
    if found := re.fullmatch(r"Is the (\w+) (\w+)\?", request):
        (colour,) = [colour for _, colour, kind in shapes if kind == found[1]]
        return "Yes." if colour == found[2] else "No."
    if found := re.fullmatch(r"What is furthest (left|right)\?", request):
        return sentence(article(names[0] if found[1] == "left" else names[-1]))
    found = re.fullmatch(r"What is (left|right) of the (\w+ \w+)\?", request)
    place = names.index(found[2])
    others = names[:place] if found[1] == "left" else names[place + 1 :]
    assert len(others) < 2, "the request has more than one answer"
    return sentence(article(others[0])) if others else "Nothing."


@given(seeds, st.sampled_from(sorted(ASKERS)))
def test_answers_are_right(seed, kind):
    """The answer is the one worked out anew, whatever order the shapes are listed in."""
    scene = draw_scene(seed)
    question = ask(scene, kind, np.random.default_rng(seed))
    shapes = [(shape.x, shape.colour, shape.kind) for shape in reversed(scene.shapes)]
    if question is not None:
        assert question.kind == kind
        assert question.answer == expected_answer(shapes, question.request)


@given(seeds, st.sampled_from(sorted(WIDE_SORTS)), st.sampled_from(sorted(ASKERS)))
def test_answers_about_wide_scenes_are_right(seed, sort, kind):
    """Of no shape, of a large one, of grey ones, and of two in one column, of which neither is left of the other."""
    scene = draw_wide_scene(seed, sort)
    question = ask(scene, kind, np.random.default_rng(seed))
    place = (lambda shape: shape.y) if sort == "column" else (lambda shape: shape.x)
    shapes = [(place(shape), shape.colour, shape.kind) for shape in reversed(scene.shapes)]
    if question is not None:
        assert question.answer == expected_answer(shapes, question.request)
        assert sort != "column" or kind not in ("beside", "order", "end")


@given(seeds, st.sampled_from(sorted(ASKERS)))
def test_other_words_ask_the_same(seed, kind):
    """Kind and answer stay, every name in the request stays, and the words are others than those of any request."""
    question = ask(draw_scene(seed), kind, np.random.default_rng(seed))
    if question is not None:
        other = in_other_words(question, np.random.default_rng(seed))
        assert (other.kind, other.answer) == (question.kind, question.answer)
        assert other.request != question.request
        names = r"red|green|blue|yellow|purple|orange|circle|square|triangle|cross|left|right"
        assert re.findall(names, other.request) == re.findall(names, question.request)


@pytest.mark.parametrize("kind", ["there", "order", "has_colour"])
def test_yes_and_no_come_equally_often(kind):
    """Always answering the same would be right half of the time only."""
    asked = [ask(draw_scene(seed), kind, np.random.default_rng(seed)) for seed in range(1000)]
    answers = Counter(question.answer for question in asked if question)
    assert set(answers) == {"Yes.", "No."}
    assert 0.45 < answers["Yes."] / answers.total() < 0.55


def test_every_kind_is_asked_of_most_scenes():
    """No kind is a rarity: each can be asked of half of the scenes at least."""
    for kind in ASKERS:
        asked = [ask(draw_scene(seed), kind, np.random.default_rng(seed)) for seed in range(200)]
        assert sum(question is not None for question in asked) >= 100, kind
