"""The whole model on the student's functions."""

import pytest

from ovis2_ref.errors import InputError
from ovis2_ref.exercises.assembling import PARTS, assemble
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.folder import Folder
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.cli import main

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


@pytest.fixture
def folder(tmp_path):
    """A student's folder with a right answer for every part that the model needs."""
    folder = Folder(tmp_path, EXERCISES)
    folder.complete()
    for name in PARTS:
        write(folder, name, BY_NAME[name]._head_and_body[1])
    return folder


def write(folder, name, body):
    text = BY_NAME[name].text(1, 1).removesuffix("    ...\n")
    folder.file(BY_NAME[name]).write_text(f"{text}{body}")


def test_the_students_model_answers_the_samples(folder, capsys):
    """As the package's model does; a part that isn't written is the project's."""
    folder.restore(BY_NAME["greedy"])
    assert assemble(folder) == 0
    out = capsys.readouterr().out
    assert f"{len(PARTS) - 1} of {len(PARTS)} parts are yours" in out
    assert f"{SAMPLE.name}: A yellow triangle, a red cross and a red circle." in out


def test_a_mistake_shows_as_a_wrong_answer_and_compare_names_it(folder, capsys):
    """The values of the run are a candidate for `golden compare`."""
    write(folder, "merge_patches", "    return features.reshape(len(features), -1, stride**2 * features.shape[2])\n")
    assert assemble(folder) == 1
    assert "expected: A yellow triangle" in capsys.readouterr().out
    golden, candidate = str(folder.path / "golden.safetensors"), str(folder.path / "failures" / "assembled.safetensors")
    main(["golden", "record", "-o", golden])
    assert main(["golden", "compare", golden, candidate]) == 1
    assert "patches in a row, not in squares" in capsys.readouterr().out


def test_a_part_that_raises_is_told(folder, capsys):
    """It ends the answer, not the run; a file that can't be run is an error of ours."""
    write(folder, "rotate", "    raise ValueError('not yet')\n")
    assert assemble(folder) == 1
    assert "(stopped: ValueError: not yet)" in capsys.readouterr().out
    folder.file(BY_NAME["rotate"]).write_text("x = = 1\n")
    with pytest.raises(InputError, match="exercise check rotate"):
        assemble(folder)
