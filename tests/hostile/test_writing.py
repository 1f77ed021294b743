"""Writing loses nothing: a failure leaves the old files and nothing else; no link is written through."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.files.writing import replacing, replacing_files
from ovis2_ref.tools.cli import main
from tests.hostile.bounded import Outcome, bounded
from tests.hostile.folders import AUTHORS, authors, tiny


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under `folder`, those of hidden names too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_a_full_disk(case: Callable[[], Any], room: int) -> Outcome:
    """Run `case` where no file can become larger than `room` bytes."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        case()

    outcome = bounded(limited)
    assert outcome.kind == "refused", outcome
    assert "can't be written" in outcome.message or "not written completely" in outcome.message
    return outcome


ROOM = (0, 100, 5000, 200_000)


@pytest.mark.parametrize("room", ROOM)
def test_a_model_on_a_full_disk(tmp_path: Path, room: int) -> None:
    """Into a folder that holds a model, and into a new one."""
    folder = tiny(tmp_path / "model")
    before = contents(tmp_path)
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    for target in (folder, tmp_path / "new"):
        on_a_full_disk(lambda target=target: model.save_pretrained(target), room)
        assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("room", (0, 100, 5000))
def test_a_processor_on_a_full_disk(tmp_path: Path, room: int) -> None:
    folder = tiny(tmp_path / "model")
    before = contents(tmp_path)
    processor = Ovis2Processor.from_pretrained(TINY)
    for part in (processor, processor.tokenizer, processor.image_processor):
        if part is processor.image_processor and room > 100:
            continue  # it fits
        for target in (folder, tmp_path / "new"):
            on_a_full_disk(lambda part=part, target=target: part.save_pretrained(target), room)
            assert contents(tmp_path) == before


@pytest.mark.parametrize("room", (0, 10))
def test_settings_on_a_full_disk(tmp_path: Path, room: int) -> None:
    """Every class whose settings are a JSON file: into a folder that has it, into a new one, and as a file."""
    folder = tiny(tmp_path / "model")
    processor, model = Ovis2Processor.from_pretrained(TINY), Ovis2ForConditionalGeneration.from_pretrained(TINY)
    before = contents(tmp_path)
    for part in (model.config, model.config.text_config, model.generation_config, processor.image_processor):
        for target in (folder, tmp_path / "new"):
            on_a_full_disk(lambda part=part, target=target: part.save_pretrained(target), room)
            assert contents(tmp_path) == before
        on_a_full_disk(lambda part=part: part.to_json_file(folder / "config.json"), room)
        assert contents(tmp_path) == before
    on_a_full_disk(lambda: processor.to_json_file(folder / "config.json"), room)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("room", ROOM)
def test_a_conversion_on_a_full_disk_can_be_tried_again(tmp_path: Path, room: int) -> None:
    target = tmp_path / "converted"
    on_a_full_disk(lambda: convert_original(AUTHORS, target), room)
    assert contents(tmp_path) == {}
    convert_original(AUTHORS, target)
    assert load_weights(target, read_config(target))


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Its source lacks a file that is read late."""
    source = authors(tmp_path / "authors")
    (source / "generation_config.json").write_text("[]")
    with pytest.raises(CheckpointError):
        convert_original(source, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authors"]


def test_a_streamed_model_is_saved_into_its_own_folder(tmp_path: Path) -> None:
    """The files that are read are the ones that are replaced."""
    folder = tiny(tmp_path / "model")
    expected = load_weights(folder, read_config(folder))
    model = Ovis2ForConditionalGeneration.from_pretrained(folder, stream=True)
    model.save_pretrained(folder)
    found = load_weights(folder, read_config(folder))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["config.json.part", "model.safetensors.part", "tokenizer.json.part"])
def test_planted_links(tmp_path: Path, name: str) -> None:
    """Names that a writer might use, linked to a file elsewhere."""
    folder, victim = tiny(tmp_path / "model"), tmp_path / "victim"
    victim.write_text("precious")
    (folder / name).symlink_to(victim)
    Ovis2ForConditionalGeneration.from_pretrained(TINY).save_pretrained(folder)
    Ovis2Processor.from_pretrained(TINY).save_pretrained(folder)
    assert victim.read_text() == "precious"
    assert not victim.is_symlink()


def test_a_target_that_is_a_link(tmp_path: Path) -> None:
    """The link is replaced; what it leads to stays."""
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    with replacing(link) as file:
        file.write(b"new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("precious", "new", False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture's file."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (90, 60), (200, 30, 30)).save(path)
    return path


def test_tiles_keep_the_old_picture(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a full disk, and for a name whose format can't be written."""
    output = tmp_path / "tiles.png"
    assert main(["tiles", str(picture), "-o", str(output)]) == 0
    before = contents(tmp_path)

    def again() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        assert main(["tiles", str(picture), "-o", str(output)]) == 2

    assert bounded(again).kind == "right"
    assert contents(tmp_path) == before
    for name in ("tiles.gif2", "tiles", "tiles.eps", "tiles.pdf"):
        assert main(["tiles", str(picture), "-o", str(tmp_path / name)]) == 2
        assert "should end with" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_an_output_that_is_the_input(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its own name, by a link, by a detour."""
    before = contents(tmp_path)
    (tmp_path / "link.png").symlink_to(picture)
    for name in (str(picture), str(tmp_path / "link.png"), f"{tmp_path}/../{tmp_path.name}/picture.png"):
        assert main(["tiles", str(picture), "-o", name]) == 2
        assert "is the picture itself" in capsys.readouterr().err
    assert picture.read_bytes() == before["picture.png"]
    source = shutil.copytree(AUTHORS, tmp_path / "authors")
    with pytest.raises(CheckpointError, match="there already"):
        convert_original(source, source)


@pytest.mark.parametrize("target", ["missing/tiles.png", ".", "a\0b.png", "x" * 300 + ".png"])
def test_targets_that_cannot_be(tmp_path: Path, target: str) -> None:
    """A folder that isn't there, a folder, names that no file can have."""
    for error in (InputError, CheckpointError):
        with pytest.raises(error), replacing(f"{tmp_path}/{target}", error) as file:
            file.write(b"x")
    assert contents(tmp_path) == {}


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a folder."""
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path / "new") as files:
        (files / "a").write_text("a")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_permissions(tmp_path: Path) -> None:
    """New files and folders have those of others, as the umask says."""
    old = os.umask(0o022)
    try:
        with replacing_files(tmp_path / "new") as files, replacing(files / "a") as file:
            file.write(b"a")
    finally:
        os.umask(old)
    assert oct((tmp_path / "new").stat().st_mode)[-3:] == "755"
    assert oct((tmp_path / "new" / "a").stat().st_mode)[-3:] == "644"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stream", [False, True])
def test_weights_cut_short_after_loading(tmp_path: Path, stream: bool, dtype: str) -> None:
    """No SIGBUS: loaded weights are in memory, and a streamed one is missed with our error."""
    folder = tiny(tmp_path / "model")

    def case() -> Any:
        model = Ovis2ForConditionalGeneration.from_pretrained(folder, stream=stream, dtype=dtype)
        os.truncate(folder / "model.safetensors", 20_000)
        return model(np.array([[3, 5]])).logits.sum()

    outcome = bounded(case)
    assert outcome.kind == ("refused" if stream else "right"), outcome
    assert not stream or "cut short" in outcome.message


def test_a_file_that_becomes_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check of a path and its opening."""
    from ovis2_ref.files import reading

    folder = tiny(tmp_path / "model")
    (tmp_path / "outside.json").write_text("{}")
    check = reading.path_inside

    def slow(root: Path, name: str) -> Path:
        path = check(root, name)
        path.unlink()
        path.symlink_to(tmp_path / "outside.json")
        return path

    monkeypatch.setattr(reading, "path_inside", slow)
    with pytest.raises(CheckpointError, match="can't be read"):
        reading.read_json(folder, "config.json")


def test_streamed_weights_in_threads(tmp_path: Path) -> None:
    """One file, read from two threads at once: the same bytes."""
    from concurrent.futures import ThreadPoolExecutor

    config = read_config(TINY)
    expected, weights = load_weights(TINY, config), StreamedWeights(TINY, config)
    names = list(weights) * 3
    with ThreadPoolExecutor(2) as pool:
        for name, array in zip(names, pool.map(weights.__getitem__, names), strict=True):
            assert array.tobytes() == expected[name].tobytes()
