"""The evaluation asks what it should and counts to the letter."""

import numpy as np
import pytest

from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.evaluate import (
    MAX_NEW_TOKENS,
    USUAL,
    VARIATIONS,
    Answerer,
    judge,
    main,
    questions_about,
    table,
)
from ovis2_ref.tiny.training.questions import ASKERS
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED


class Oracle:
    """Answers as if it knew: looks up the question among those of the scene whose picture it is shown."""

    def __init__(self, seeds):
        self.known = {}
        for seed in seeds:
            scene, questions = questions_about(seed)
            self.known |= {(scene.render().tobytes(), question.request): question.answer for question in questions}

    def answer(self, picture, requests):
        """Give the right answers."""
        return [self.known[picture.tobytes(), request] for request in requests]


def test_questions_follow_from_the_seed():
    """Each scene is asked once for every kind that it allows, the same each time."""
    scene, questions = questions_about(7)
    assert questions_about(7) == (scene, questions)
    kinds = [question.kind for question in questions]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) <= set(USUAL) < set(ASKERS)


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_variation_asks_something_else(name):
    """Each row has questions for most seeds, the same every time, that the first table doesn't have."""
    asked = [VARIATIONS[name](seed) for seed in range(40)]
    assert asked == [VARIATIONS[name](seed) for seed in range(40)]
    assert sum(bool(questions) for _, questions in asked) > 30
    usual = {(seed, question.request) for seed in range(40) for question in questions_about(seed)[1]}
    if name in ("has_colour", "in other words"):
        requests = {(seed, question.request) for seed, (_, questions) in enumerate(asked) for question in questions}
        assert not requests & usual
        assert [scene for scene, _ in asked] == [questions_about(seed)[0] for seed in range(40)]
    else:
        assert all(scene != questions_about(seed)[0] for seed, (scene, _) in enumerate(asked))


def test_every_question_is_put_with_its_own_picture():
    """Pictures and requests reach the model together, and answers come back with their questions."""
    judged = list(judge(Oracle(range(5)).answer, range(5)))
    assert all(answer == question.answer for _, question, answer in judged)
    assert len(judged) == sum(len(questions_about(seed)[1]) for seed in range(5))


@pytest.mark.parametrize("seed", [0, 1, 6])
def test_a_picture_is_encoded_once_and_every_answer_is_that_of_its_own_prompt(seed, monkeypatch):
    """Answers to all requests together are those that `generate` gives to each from pixels."""
    answerer = Answerer(TINY)
    model, processor = answerer.model, answerer.processor
    scene, questions = questions_about(seed)
    expected = []
    for question in questions:
        inputs = processor(images=scene.render(), text=answerer.prompt(question.request), return_tensors="np")
        ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS)
        expected += processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    encoded = []
    encode = model.get_image_features
    monkeypatch.setattr(model, "get_image_features", lambda tiles: encoded.append(len(tiles)) or encode(tiles))
    assert answerer.answer(scene.render(), [question.request for question in questions]) == expected
    assert encoded == [len(inputs["pixel_values"])]


def test_the_table_adds_up():
    """Counts and percentages by kind and in all; kinds never asked are left out."""
    rows = table("request", {"describe": [True, True, True], "count": [False], "order": []}).split("\n")
    assert rows[2:] == ["| describe | 3 | 3 | 100.0 |", "| count | 1 | 0 | 0.0 |", "| all | 4 | 3 | 75.0 |"]


@pytest.mark.parametrize("arguments", [["--scenes", "0"], ["--seed", "-1"], ["--seed", str(DEVELOPMENT_SEED)]])
def test_seeds_that_training_may_have_seen_are_refused(arguments, monkeypatch, capsys):
    """A range that leaves the held-out seeds gets one line and status 2."""
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "training" in capsys.readouterr().err


def test_pictures_are_what_the_processor_takes():
    """Pictures are (height, width, 3) uint8."""
    picture = questions_about(3)[0].render()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
