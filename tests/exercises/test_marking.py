"""The marking itself: untouched files fail, answers pass, wrong answers are named, mutants are rejected."""

import copy
import time

import numpy as np
import pytest

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import agrees, check, passes, run
from ovis2_ref.exercises.course import SESSIONS, handout
from ovis2_ref.exercises.folder import file_name
from tests.exercises.equivalent import EQUIVALENT
from tests.exercises.figures import LEAST_REJECTED, cells, measure, unlisted
from tests.exercises.write import FOLDER, README, exercise_list
from tests.test_package import ROOT

WRONG = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.wrong]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
class TestExercise:
    """What every exercise promises."""

    def test_the_file_in_walkthroughs_is_the_untouched_one(self, exercise):
        """`python -m tests.exercises.write` writes them; a student's clone differs where the student has worked."""
        number = EXERCISES.index(exercise) + 1
        text = exercise.text(number, len(EXERCISES))
        assert (FOLDER / file_name(number, exercise)).read_text() == text
        assert exercise.is_untouched(text)

    def test_the_head_says_where_the_formula_stands(self, exercise):
        """In the one file, and in the package."""
        text = (ROOT.parent / "walkthroughs" / "ovis2.py").read_text(encoding="utf-8")
        assert not exercise.one_file or f"def {exercise.one_file}(" in text
        assert exercise.whereabouts in exercise.text(1, 1)
        for function in exercise.solution:
            assert f"{function.__module__.replace('.', '/')}.py" in exercise.whereabouts

    def test_untouched_fails(self, exercise):
        """A function that returns None is right nowhere; nor is one that returns its first argument."""
        failure = check(exercise, exercise.compiled(exercise.text(1, 1)))
        assert failure is not None
        assert failure.failed == failure.cases
        assert check(exercise, lambda **inputs: next(iter(inputs.values()))) is not None

    def test_answer_agrees_with_the_oracle(self, exercise):
        """On the cases, and on those of other seeds."""
        for seed in range(6):
            for inputs in exercise.cases(np.random.default_rng(seed)):
                expected = exercise.expected(**copy.deepcopy(inputs))
                outcome = run(exercise.answer, inputs)
                assert passes(outcome, expected, exercise.exact), (inputs, expected, outcome)

    def test_an_answer_that_rounds_otherwise_passes(self, exercise):
        """Rounding in another order is like inputs that are off by some units in the last place: no verdict hangs on these."""
        if exercise.exact:
            return
        rng = np.random.default_rng(0)

        def nudged(value):
            if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
                return value
            return value * (1 + 4 * np.finfo(value.dtype).eps * rng.uniform(-1, 1, value.shape)).astype(value.dtype)

        for inputs, expected in exercise.examples:
            # a number that is to fall on the edge between two tokens has to stay there
            near = {
                name: value if name == "uniform" else nudged(value) for name, value in copy.deepcopy(inputs).items()
            }
            value = exercise.answer(**near)
            assert agrees(value, expected), (inputs, expected, value)

    def test_has_enough_of_everything(self, exercise):
        """Eight wrong answers or more, three hints, an answer of 5 to 40 lines, an introduction."""
        assert len({mistake.name for mistake in exercise.wrong}) == len(exercise.wrong) >= 8
        assert len(exercise.hints) == 3
        assert 5 <= exercise.lines[0] <= 40
        assert len(exercise.introduction.splitlines()) > 3
        assert 4 <= len(exercise.examples) <= 40

    @pytest.mark.slow
    def test_mutants_are_rejected(self, exercise):
        """Those that pass are listed with the reason, and nothing is listed that doesn't pass."""
        row = measure(exercise)
        assert unlisted(row) == []
        assert " | ".join(map(str, cells(row)[:-1])) in README.read_text(encoding="utf-8"), "paste the table anew"
        assert set(EQUIVALENT.get(exercise.name, {})) <= set(row.alive)


@pytest.mark.parametrize(("exercise", "mistake"), WRONG, ids=lambda x: x.name.replace(" ", "_"))
def test_wrong_answer_is_named(exercise, mistake):
    """By its own name alone, within a second of this process's time."""
    start = time.process_time()
    failure = check(exercise, exercise.variant(mistake))
    assert time.process_time() - start < 1
    assert failure is not None
    assert [known.name for known in failure.known] == [mistake.name]


def test_the_readme_lists_them():
    """In order, with their files."""
    assert exercise_list() in README.read_text(encoding="utf-8")


def test_the_sessions_pages_are_those_of_the_catalogue():
    """`python -m tests.exercises.write` writes them."""
    for number in range(1, len(SESSIONS) + 1):
        assert (FOLDER / "sessions" / f"{number}.md").read_text(encoding="utf-8") == handout(number)


@pytest.mark.slow
def test_enough_mutants_are_rejected():
    """97 % of all."""
    rows = [measure(exercise) for exercise in EXERCISES]
    assert sum(len(row.alive) for row in rows) <= (1 - LEAST_REJECTED) * sum(row.mutants for row in rows)


def test_two_mistakes_are_named_together():
    """Two edits of one answer."""
    exercise = next(e for e in EXERCISES if e.name == "rms_norm")
    pair = tuple(mistake for mistake in exercise.wrong if mistake.name in ("no epsilon", "weight forgotten"))
    failure = check(exercise, exercise.variant(*pair))
    assert failure is not None
    assert set(failure.known) == set(pair)


def test_agreement_is_strict():
    """Type, shape and value all count; a list may stand for a tuple, a NumPy number for a Python one."""
    x = np.arange(6.0).reshape(2, 3)
    assert agrees(x + 1e-15, x)
    assert not agrees(x + 1e-15, x, exact=True)
    for other in (x + 1e-11, x.astype(np.float32), x.T, x[None], x.tolist(), None, x.astype(int)):
        assert not agrees(other, x)
    assert agrees([(1, 2)], [[1, 2]])
    assert agrees(np.int64(3), 3)
    assert not agrees(3.0, 3)
    assert not agrees(True, 1)
    assert agrees(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]))
    assert not agrees(np.array([np.nan]), np.array([1.0]))
