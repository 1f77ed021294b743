"""The command `ovis2-ref exercise`, from a student's folder."""

import json
import os
import signal
import subprocess
import sys
import threading
from xml.etree import ElementTree

import pytest

from ovis2_ref.exercises import process
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import agrees
from ovis2_ref.exercises.course import SESSIONS
from ovis2_ref.exercises.folder import file_name
from ovis2_ref.exercises.showing import case_text
from ovis2_ref.tools.cli import main
from tests.test_package import ROOT

FIRST = EXERCISES[0]
RMS_NORM = next(exercise for exercise in EXERCISES if exercise.name == "rms_norm")


@pytest.fixture
def student(tmp_path, monkeypatch, capsys):
    """A folder, and a function that gives the command there and returns (status, output)."""
    monkeypatch.chdir(tmp_path)

    def command(*words):
        status = main(["exercise", *words])
        out, err = capsys.readouterr()
        return status, out + err

    return command


def write(folder, exercise, text):
    path = folder / file_name(EXERCISES.index(exercise) + 1, exercise)
    path.write_text(text)
    return path


def test_from_the_first_exercise_to_the_next(student, tmp_path):
    """`next` makes the files; the first fails untouched, passes answered, and then shows the project's function."""
    status, out = student("list")
    assert status == 0
    assert f"0 of {len(EXERCISES)} done" in out
    assert f"→  1 {FIRST.name}" in out
    folder = tmp_path / "exercises"
    assert not folder.exists()
    assert FIRST.title in student("next")[1]
    assert len(list(folder.glob("*.py"))) == len(EXERCISES)
    status, out = student("check")
    assert status == 1
    assert "nothing is written yet" in out
    assert student("solution", FIRST.name)[0] == 2
    write(folder, FIRST, f"import numpy as np\n{FIRST.source}")
    status, out = student("check")
    assert status == 0
    assert EXERCISES[1].name in out
    status, out = student("solution", FIRST.name)
    assert status == 0
    assert FIRST.solution[0].__name__ in out
    assert FIRST.notice in out
    assert f"✓  1 {FIRST.name}" in student("list")[1]
    assert EXERCISES[1].title in student("next")[1]


def test_hints_come_one_after_the_other(student):
    """Three levels, remembered; then no more."""
    for level in (1, 2, 3, 3):
        status, out = student("hint")
        assert status == 0
        assert [hint in out for hint in FIRST.hints] == [i < level for i in range(3)]


def test_reset_restores(student, tmp_path):
    """The file, its hints and its being done."""
    student("next")
    student("hint")
    path = write(tmp_path / "exercises", FIRST, f"import numpy as np\n{FIRST.source}")
    assert student("check", "1")[0] == 0
    assert student("reset")[0] == 2
    assert student("reset", FIRST.name)[0] == 0
    assert path.read_text() == FIRST.text(1, len(EXERCISES))
    assert json.loads((path.parent / "progress.json").read_text()) == {"done": [], "hints": {}}


def test_an_answer_that_was_right_and_is_not_any_more(student, tmp_path):
    """Is no longer done."""
    student("next")
    write(tmp_path / "exercises", FIRST, f"import numpy as np\n{FIRST.source}")
    assert student("check", FIRST.name)[0] == 0
    write(tmp_path / "exercises", FIRST, f"def {FIRST.name}(*arguments, **more):\n    return 0.5\n")
    assert student("check", FIRST.name)[0] == 1
    assert "0 of" in student("list")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def rms_norm(x, weight, eps)\n", "SyntaxError"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
        ("def norm(x, weight, eps):\n    return x\n", "no function rms_norm"),
        ("def rms_norm(x, weight, eps):\n    '''...'''\n    pass\n", "nothing is written yet"),
        ("def rms_norm(x, weight):\n    return x\n", "TypeError"),
        ("def rms_norm(x, weight, eps):\n    return x / zero\n", "line 2: return x / zero"),
        ("def rms_norm(x, weight, eps):\n    weight * x\n", "returned None"),
        ("def rms_norm(x, weight, eps):\n    return x.tolist()\n", "not a list"),
        ("def rms_norm(x, weight, eps):\n    return x[None]\n", "shape should be"),
        ("def rms_norm(x, weight, eps):\n    return x.astype('float16')\n", "not float16"),
        ("def rms_norm(x, weight, eps):\n    x *= 2\n    return x\n", "wrote into its argument x"),
        ("def rms_norm(x, weight, eps):\n    print('seen', x.shape)\n    return x\n", "seen (2,)"),
        ("def rms_norm(x, weight, eps):\n    return x * float('nan')\n", "NaN"),
        ("def rms_norm(x, weight, eps):\n    raise SystemExit\n", "SystemExit"),
        ("def rms_norm(x, weight, eps):\n    return x\n", "Known mistake: identity"),
        ("def rms_norm(x, weight, eps):\n    yield x\n", "not a generator"),
        ("def rms_norm(x, weight, eps):\n    return x.astype(str)\n", "not <U32"),
        ("def rms_norm(x, weight, eps):\n    return x.astype(complex)\n", "not complex128"),
        ("def rms_norm(x, weight, eps):\n    return x[:0]\n", "shape should be"),
        ("def rms_norm(x, weight, eps):\n    return x.sum()\n", "not a float64"),
        ("def rms_norm(x, weight, eps):\n    return 'x'\n", "not a str"),
    ],
)
def test_what_is_wrong_is_told(student, tmp_path, text, said):
    """Whatever a file holds, the verdict says what to correct."""
    student("next")
    write(tmp_path / "exercises", RMS_NORM, text)
    status, out = student("check", "rms_norm")
    assert status == 1
    assert said in out


def test_a_loop_without_end_is_told(student, tmp_path, monkeypatch):
    """In the function or outside of it."""
    monkeypatch.setattr(process, "PATIENCE", 2.0)
    student("next")
    for text in ("def rms_norm(x, weight, eps):\n    while True: pass\n", "while True: pass\n"):
        write(tmp_path / "exercises", RMS_NORM, text)
        status, out = student("check", "rms_norm")
        assert status == 1
        assert "loop that never ends" in out


def test_bad_names_and_damaged_progress(student, tmp_path):
    """One line and exit status 2."""
    student("next")
    assert student("check", "rms")[0] == 2
    for damaged in ("{", "[]", '{"done": 3, "hints": {}}', '{"done": [], "hints": {"a": "b"}}', "[" * 100000):
        (tmp_path / "exercises" / "progress.json").write_text(damaged)
        status, out = student("list")
        assert status == 2
        assert "damaged" in out
        assert len(out.splitlines()) == 1


def test_the_folder_is_found_from_inside_and_from_above(student, tmp_path, monkeypatch):
    """From the folder itself, from a folder in it, and in a clone from the top."""
    student("next")
    (tmp_path / "exercises" / "notes").mkdir()
    for place in ("exercises", "exercises/notes"):
        monkeypatch.chdir(tmp_path / place)
        assert str(tmp_path / "exercises") in student("list")[1]
    (tmp_path / "clone").mkdir()
    (tmp_path / "exercises").rename(tmp_path / "clone" / "walkthroughs")
    (tmp_path / "clone" / "walkthroughs").rename(tmp_path / "clone" / "exercises")
    monkeypatch.chdir(tmp_path / "clone")
    assert str(tmp_path / "clone" / "exercises") in student("list")[1]


def test_watch_checks_what_is_saved(student, tmp_path):
    """In a separate process, until it is interrupted."""
    student("next")
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "ovis2_ref", "exercise", "watch"]
    pipe = subprocess.PIPE
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children ignore interrupts
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, text=True, encoding="utf-8") as watching:
        limit = threading.Timer(60, watching.kill)
        limit.start()
        signal.signal(signal.SIGINT, before)
        try:
            assert watching.stdout is not None
            for line in watching.stdout:
                if "then: ovis2-ref exercise check" in line:
                    break
            write(tmp_path / "exercises", FIRST, f"import numpy as np\n{FIRST.source}")
            for line in watching.stdout:
                if "is right" in line:
                    break
            else:
                pytest.fail("the saved answer wasn't checked")
        finally:
            watching.send_signal(signal.SIGINT)
            watching.wait()
            limit.cancel()
    assert watching.returncode == 130


@pytest.mark.skipif(os.name != "posix", reason="a terminal made by the test")
def test_breakpoint_gives_a_prompt_at_a_terminal(student, tmp_path):
    """Python's debugger in the student's function; elsewhere the verdict says that it needs a terminal."""
    student("next")
    text = "def rms_norm(x, weight, eps):\n    breakpoint()\n    return x\n"
    path = write(tmp_path / "exercises", RMS_NORM, text)
    assert "needs a terminal" in student("check", "rms_norm")[1]
    child, terminal = os.forkpty()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT.parent)
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "ovis2_ref", "exercise", "check", "rms_norm"])
    limit = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    limit.start()
    seen = b""
    while b"(Pdb)" not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, b"p 'shape', x.shape\n")
    while b"('shape', (2,))" not in seen:
        seen += os.read(terminal, 1024)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)
    limit.cancel()
    assert str(path).encode() in seen


def test_a_whole_folder_as_json_and_junit(student, tmp_path):
    """Right, wrong and named, missing; the folder that is given is marked, nothing else, and it stays as it was."""
    student("next")
    write(tmp_path / "exercises", FIRST, f"import numpy as np\n{FIRST.source}")
    handed = tmp_path / "exercises" / "anna"
    handed.mkdir()
    write(handed, RMS_NORM, "def rms_norm(x, weight, eps):\n    return x\n")
    write(handed, EXERCISES[3], EXERCISES[3].text(4, 33).replace("    ...\n", EXERCISES[3]._head_and_body[1]))
    status, out = student("check", "--json", "--junit", str(tmp_path / "report.xml"), "--folder", str(handed))
    assert status == 1
    report = json.loads(out)
    verdicts = {verdict["name"]: verdict for verdict in report["exercises"]}
    assert (report["right"], report["of"]) == (1, len(EXERCISES))
    assert verdicts["rms_norm"]["mistakes"] == ["identity"]
    assert verdicts[EXERCISES[3].name]["right"]
    assert not verdicts[FIRST.name]["right"]
    assert not verdicts[FIRST.name]["written"]
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == [
        str(len(EXERCISES)),
        "1",
        str(len(EXERCISES) - 2),
    ]
    assert len(list(handed.iterdir())) == 2
    monkey = student("check", FIRST.name, "--folder", str(handed))
    assert monkey[0] == 1
    assert "missing" in monkey[1]
    assert student("check", "--folder", str(tmp_path / "nobody"))[0] == 2


def test_a_folder_without_the_first_file_is_not_the_clones(student, tmp_path, monkeypatch):
    """The nearest folder that has any exercise's file is marked."""
    student("next")
    write(tmp_path / "exercises", RMS_NORM, RMS_NORM.text(3, 33).replace("    ...\n", RMS_NORM._head_and_body[1]))
    handed = tmp_path / "exercises" / "anna"
    handed.mkdir()
    write(handed, RMS_NORM, "def rms_norm(x, weight, eps):\n    return x\n")
    monkeypatch.chdir(handed)
    assert student("check", "rms_norm")[0] == 1


def test_next_stays_in_the_session(student, tmp_path):
    """And the sessions hold every exercise once."""
    names = [exercise.name for session in SESSIONS for exercise in session.exercises]
    assert sorted(names) == sorted(exercise.name for exercise in EXERCISES)
    assert all(session.minutes <= 120 for session in SESSIONS)
    _, out = student("next", "--session", "3")
    first, second = SESSIONS[2].exercises[:2]
    assert first.title in out
    path = tmp_path / "exercises" / file_name(EXERCISES.index(first) + 1, first)
    path.write_text(path.read_text().replace("    ...\n", first._head_and_body[1]))
    assert student("check", "--session", "3")[0] == 0
    assert second.title in student("next", "--session", "3")[1]
    assert student("next", "--session", "8")[0] == 2
    for number, session in enumerate(SESSIONS, start=1):
        _, page = student("handout", "--session", str(number))
        assert all(exercise.title in page for exercise in session.exercises)
        assert len(page.splitlines()) < 110


@pytest.mark.parametrize(
    ("text", "said", "unsaid"),
    [
        (
            "def rms_norm(x, weight, eps):\n    return rms_norm(x, weight, eps)\n",
            "more ...",
            "line 2: return rms_norm\n" * 20,
        ),
        ("def rms_norm(x, weight, eps):\n    print('a' * 300000)\n    return x\n", "aaa ...", "a" * 200),
        ("def rms_norm(x, weight, eps):\n    x = = 2\n", "line 2: x = = 2", "ast.py"),
        ("def rms_norm(x, weight, eps):\n    print('\\x1b[2J')\n    return x\n", "?[2J", "\x1b"),
    ],
)
def test_messages_are_short_and_speak_of_the_students_file(student, tmp_path, text, said, unsaid):
    """Recursion, prints, syntax errors, what a terminal would take for commands."""
    student("next")
    write(tmp_path / "exercises", RMS_NORM, text)
    status, out = student("check", "rms_norm")
    assert status == 1
    assert said in out
    assert unsaid not in out


def test_a_byte_order_mark_is_no_error(student, tmp_path):
    """Editors of Windows write one."""
    student("next")
    text = RMS_NORM.text(3, 33).replace("    ...\n", RMS_NORM._head_and_body[1])
    write(tmp_path / "exercises", RMS_NORM, text).write_text(text, encoding="utf-8-sig")
    assert student("check", "rms_norm")[0] == 0


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_failing_case_runs_as_python(exercise):
    """Every case, as a program: the inputs come back equal."""
    for inputs, _ in exercise.examples:
        seen: dict = {}
        program = f"import numpy as np\n{case_text(inputs, 'kept')}"
        exec(program, {"kept": lambda seen=seen, **given: seen.update(given), "print": id, "__name__": __name__})
        assert seen.keys() == inputs.keys()
        assert all(agrees(seen[name], value, exact=True) for name, value in inputs.items())
