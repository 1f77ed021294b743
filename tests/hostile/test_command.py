"""The command under bad conditions: one line on stderr, status 2, and nothing of a checkpoint's strings raw on the terminal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.tools.cli import main
from ovis2_ref.tools.terminal import LONGEST, printable
from tests.hostile.bounded import bounded
from tests.hostile.folders import change, tiny

ROOT = Path(__file__).parents[2]
ESCAPE = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\x9b"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which $OVIS is the command."""
    variables = {**os.environ, "OVIS": f"{sys.executable} -m ovis2_ref", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-c", command], env=variables, capture_output=True, text=True, errors="replace", cwd=ROOT
    )


QUICK = "describe --max-new-tokens 3"


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (f"$OVIS {QUICK} > /dev/full", 2, "can't be written (No space left"),
        (f"$OVIS {QUICK} | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("$OVIS inspect | true; exit ${PIPESTATUS[0]}", 0, ""),
        (f"$OVIS {QUICK} >&-", 2, "stdout is closed"),
        ("$OVIS inspect /nowhere 2> /dev/full", 2, ""),
        ("$OVIS inspect /nowhere 2>&-", 2, ""),
    ],
)
def test_streams(command: str, status: int, said: str) -> None:
    done = shell(command)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == status, done
    assert said in done.stderr


def test_closed_stderr_puts_nothing_into_the_answer() -> None:
    """The figures go nowhere, not to stdout."""
    done = shell(f"$OVIS {QUICK} 2>&-")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


def test_a_stdout_that_lacks_characters(tmp_path: Path) -> None:
    """ASCII, and a name that it can't take."""
    picture = tmp_path / "caf\u00e9 \u732b.png"
    picture.write_bytes((ROOT / "tests" / "golden_original" / "image0.png").read_bytes())
    done = shell(
        f"cd '{tmp_path}'; $OVIS tiles '{picture.name}' -o '{picture.name}x.png'",
        PYTHONIOENCODING="ascii",
        PYTHONUTF8="0",
    )
    assert done.returncode == 0, done
    assert "caf\\xe9" in done.stdout


def test_numbers_of_many_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """Refused by the parser, or by the device's name."""
    for digits in (200, 5000):
        number = "9" * digits
        for arguments in (
            ["describe", "--max-new-tokens", number],
            ["describe", "--frames", number],
            ["inspect", "--picture", f"{number}x5"],
        ):
            with pytest.raises(SystemExit) as stopped:
                main(arguments)
            assert stopped.value.code == 2
        assert main(["describe", "--device", f"cuda:{number}"]) == 2
    assert main(["inspect", "--picture", "999999999x999999999"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fifo", "folder", "/dev/zero", "/dev/stdin"])
def test_pictures_that_are_no_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name if name[0] != "/" else Path(name)
    if name == "fifo":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    outcome = bounded(lambda: main(["describe", str(path)]), 5)
    assert (outcome.kind, outcome.value) == ("right", 2), outcome


@pytest.mark.parametrize("kind", ["message", "weights", "tokenizer"])
def test_strings_of_a_checkpoint_reach_the_terminal_escaped(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In errors, which are one line, and in answers."""
    folder = tiny(tmp_path / "model")
    if kind == "message":
        change(folder, "config.json", {"model_type": ESCAPE + "x" * 10**5})
    elif kind == "weights":
        header = {ESCAPE + str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(500)}
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    else:
        change(folder, "tokenizer_config.json", {"eos_token": ESCAPE + "x" * 10**5})
    assert main(["describe", "--checkpoint", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert len(err) < LONGEST + 100
    assert printable(err) == err


def test_an_answer_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every word of the vocabulary starts an escape sequence; line breaks and tabs stay."""
    folder = tiny(tmp_path / "model")
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    escape = "\u0124"  # how a byte-level vocabulary spells the byte 27

    vocabulary = values["model"]["vocab"]
    assert escape in vocabulary

    first = next(iter(vocabulary))
    vocabulary[escape], vocabulary[first] = vocabulary[first], vocabulary[escape]
    path.write_text(json.dumps(values))
    status = main(["describe", "--checkpoint", str(folder), "--max-new-tokens", "40"])
    out, err = capsys.readouterr()
    assert status in (0, 2), err
    assert "\x1b" not in out + err


def test_printable() -> None:
    """Letters of every script, emoji, line breaks and tabs stay; what moves the cursor doesn't."""
    kept = "A r\u00e9\u2202 \u5706\U0001f98a \U0001f468\u200d\U0001f469\t\u00a0\n"
    assert printable(kept) == kept
    assert printable(ESCAPE) == "\\x1b]0;owned\\x07\\x1b[2J\\r\n\\u202e\\x9b"


IMPORTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in the background of a shell
from ovis2_ref.__main__ import main

left = int(sys.argv.pop())

def interrupt(event, arguments):
    global left
    left -= event == "import"
    if left == 0:
        left = -1
        signal.raise_signal(signal.SIGINT)

sys.addaudithook(interrupt)
sys.exit(main())
"""


@settings(max_examples=8)
@given(count=st.integers(1, 450))
def test_interrupted_while_importing(count: int) -> None:
    """Ctrl-C at the import of that number, of about 500: nothing is printed, and the status in a shell is 130."""
    command = [sys.executable, "-c", IMPORTING, *QUICK.split(), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) in ((130, "", ""), (-signal.SIGINT, "", "")), done


def test_the_package_imports_its_rooms_when_a_name_is_used() -> None:
    """The command imports them when it already handles Ctrl-C."""
    code = "import sys, ovis2_ref.__main__; print([m for m in sys.modules if m.startswith(('ovis2_ref.', 'numpy'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "['ovis2_ref.__main__']\n"


WORKING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ovis2_ref.tools import cli
parser = cli._parser
def started():  # inside main's handler of Ctrl-C
    print("started", flush=True)
    return parser()
cli._parser = started
raise SystemExit(cli.main(["describe", "--max-new-tokens", "99999"]))
"""


def test_interrupted() -> None:
    """Ctrl-C while it works: no traceback, status 130."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
