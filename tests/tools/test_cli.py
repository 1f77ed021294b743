"""The command: answers on stdout, figures on stderr, and one line and exit status 2 for whatever is wrong with what was asked."""

import argparse
import os
import pty
import re
import subprocess
import sys
import termios

import numpy as np
import pytest
from PIL import Image

import ovis2_ref
from ovis2_ref import TINY, Ovis2Processor
from ovis2_ref.tiny.training.evaluate import questions_about
from ovis2_ref.tools.cli import _parser, main
from ovis2_ref.tools.describe import TextStream
from tests.test_original import GOLDEN


@pytest.fixture
def picture(tmp_path):
    """A scene's file, and what it shows."""
    scene, questions = questions_about(5)
    path = tmp_path / "scene.png"
    Image.fromarray(scene.render()).save(path)
    return path, next(q.answer for q in questions if q.kind == "describe")


def test_describe(picture, capsys):
    """The answer, and one line of tiles, tokens and seconds."""
    path, answer = picture
    assert main(["describe", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == answer + "\n"
    assert re.fullmatch(
        r"7 tiles \(grid 2x3\), 112 visual \+ \d+ text tokens, \d+ new; seconds: prepare [\d.]+, load [\d.]+, "
        r"encode [\d.]+, prefill [\d.]+, decode [\d.]+\n",
        err,
    )


@pytest.mark.parametrize("prompt", ["<IMG_START>", "<IMG_END><IMG_COL>", "<IMG_START><IMG_ROW><IMG_END>"])
def test_describe_with_indicators_in_the_question(picture, prompt, capsys):
    """What the question spells out is no picture."""
    assert main(["describe", str(picture[0]), "--prompt", prompt, "--max-new-tokens", "1"]) == 0
    assert "7 tiles (grid 2x3)," in capsys.readouterr().err


def test_describe_without_arguments(capsys):
    """The sample that the package carries."""
    assert main(["describe"]) == 0
    assert capsys.readouterr().out.strip()


def test_describe_several_and_frames(picture, tmp_path, capsys):
    """Several pictures in one prompt; an animation's frames as pictures of one tile."""
    path, _ = picture
    assert main(["describe", str(path), str(path), "--max-new-tokens", "2"]) == 0
    assert "14 tiles (grid 2x3, 2x3)" in capsys.readouterr().err
    frames = [Image.fromarray(np.full((30, 40, 3), 20 * i, np.uint8)) for i in range(12)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:])
    assert main(["describe", str(tmp_path / "clip.gif"), "--frames", "4", "--max-new-tokens", "2"]) == 0
    assert "4 tiles (grid 1x1, 1x1, 1x1, 1x1)" in capsys.readouterr().err


def test_describe_in_the_authors_convention(capsys):
    """The authors' own layout, streamed from its file."""
    arguments = [
        "--checkpoint",
        str(GOLDEN / "checkpoint"),
        "--convention",
        "original",
        "--stream",
        "--max-new-tokens",
        "3",
    ]
    assert main(["describe", str(GOLDEN / "image1.png"), *arguments]) == 0
    assert re.match(r"7 tiles \(grid \dx\d\)", capsys.readouterr().err)


def test_tiles_inspect_convert(picture, tmp_path, capsys):
    """The other commands write what they say."""
    path, _ = picture
    assert main(["tiles", str(path), "-o", str(tmp_path / "tiles.png")]) == 0
    assert Image.open(tmp_path / "tiles.png").width > 4 * 64
    assert main(["convert", str(GOLDEN / "checkpoint"), str(tmp_path / "converted")]) == 0
    assert main(["describe", str(path), "--checkpoint", str(tmp_path / "converted"), "--max-new-tokens", "2"]) == 0
    capsys.readouterr()
    assert main(["inspect", "Ovis2-8B", "--picture", "1280x720"]) == 0
    assert "1280 x 720" in capsys.readouterr().out


def test_the_answer_comes_as_it_is_made(capsys):
    """Each token's text is printed when it comes, a character of several tokens when it is whole."""
    processor = Ovis2Processor.from_pretrained(TINY)
    stream, said, text = TextStream(processor), "", "A ré∂ 圆🦊 cross."
    ids = processor.tokenizer.encode(text)
    assert len(ids) > len(text)
    stream.put(np.array([[1, 2, 3]]))
    for i, token in enumerate(ids, start=1):
        stream.put(np.array([token]))
        said += capsys.readouterr().out
        whole = processor.decode(ids[:i])
        assert said == (whole if not whole.endswith("\ufffd") else said)
        assert "\ufffd" not in said
    stream.end()
    assert said + capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe", "no_such.png"], "no_such.png"),
        (["describe", str(TINY / "config.json")], "config.json"),
        (["describe", "--checkpoint", "no_such_folder"], "no_such_folder"),
        (["describe", "--device", "cuda:99"], "cuda"),
        (["tiles", "no_such.png"], "no_such.png"),
        (["inspect", "no_such_folder"], "no_such_folder"),
        (["convert", str(TINY), "out"], "ovis"),
    ],
)
def test_wrong_input(arguments, said, capsys):
    """One line on stderr that names what is wrong, nothing on stdout, status 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("ovis2-ref: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["describe", "--max-new-tokens", "-1"], ["describe", "--frames", "0"], ["inspect", "--picture", "9"], ["x"]],
)
def test_wrong_arguments(arguments, capsys):
    """What the parser refuses ends with status 2, too."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_as_a_process_on_a_terminal(picture):
    """`python -m ovis2_ref` with stderr a terminal: bars while weights load and tiles are encoded, none in the answer."""
    path, answer = picture
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "ovis2_ref", "describe", str(path)], stdout=subprocess.PIPE, stderr=side, text=True
    )
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # the other side has closed
        pass
    assert process.communicate()[0] == answer + "\n"
    assert process.returncode == 0
    assert b"encoding tiles" in shown


def warnings_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the warnings on stderr."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("ovis2-ref: warning: ")]


def test_the_bare_command_prints_help(capsys):
    assert main([]) == 0
    assert "describe" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ovis2-ref {ovis2_ref.__version__}\n"


def test_every_default_is_in_the_help():
    """An option with a value says its default, unless leaving it out means that it does nothing."""
    commands = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    options = [option for command in commands.values() for option in command._actions if option.option_strings]
    said = [option for option in options if option.default not in (None, False, argparse.SUPPRESS)]
    assert len(said) >= 6
    assert [option.dest for option in said if "(default: " not in (option.help or "")] == []


def test_describe_reads_stdin(picture):
    path, answer = picture
    command = [sys.executable, "-m", "ovis2_ref", "describe", "-"]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True)
    assert (done.returncode, done.stdout.decode()) == (0, answer + "\n")


def test_describe_warns_of_what_a_person_may_not_expect(picture, tmp_path, capsys):
    """Pictures in one prompt, frames of a still picture, the other convention's layout; nothing of a plain question."""
    path = str(picture[0])
    short = ["--max-new-tokens", "1"]
    for options, word in (
        ([path, path], "one prompt"),
        ([path, "--frames", "2"], "still picture"),
        ([path, "--convention", "original"], "--convention"),
        ([path, "--checkpoint", str(GOLDEN / "checkpoint")], "--convention"),
        ([path, "--prompt", "What? " * 1000], "tokens"),
    ):
        assert main(["describe", *options, *short]) == 0
        (warning,) = warnings_of(capsys)
        assert word in warning
    assert main(["describe", path, *short]) == 0
    assert warnings_of(capsys) == []


def test_one_tile_is_singular(tmp_path, capsys):
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    assert main(["describe", str(tmp_path / "one.png"), "--max-new-tokens", "1"]) == 0
    assert capsys.readouterr().err.startswith("1 tile (grid 1x1), ")


def test_a_folder_without_config_says_so_first(tmp_path, capsys):
    assert main(["describe", "--checkpoint", str(tmp_path)]) == 2
    assert "'config.json'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Ovis2-8B", "ovis2-8b", "AIDC-AI/Ovis2-8B"])
def test_inspect_knows_the_released_sizes(name, capsys):
    assert main(["inspect", name]) == 0
    assert capsys.readouterr().out.startswith("Ovis2-8B, a released size")


def test_inspect_lists_the_released_sizes(capsys):
    assert main(["inspect", "Ovis2-3B"]) == 2
    error = capsys.readouterr().err
    assert all(f"Ovis2-{size}B" in error for size in (1, 2, 4, 8, 16, 34))


@pytest.mark.parametrize("size", ["1280", "1280x", "x720", "0x5", "1280x720x3", "1280 x 720", "٣x٣"])
def test_inspect_says_how_to_write_a_size(size, capsys):
    with pytest.raises(SystemExit):
        main(["inspect", "--picture", size])
    assert f"expected WIDTHxHEIGHT such as 1280x720, got {size}" in capsys.readouterr().err
