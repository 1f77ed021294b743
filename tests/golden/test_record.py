"""Recording: the same bytes twice, streamed weights too; some taps, some rows; the command and what it refuses."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ovis2_ref import TINY, Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.golden import Golden, GoldenWriter, read_golden, write_golden
from ovis2_ref.golden.stages import is_input
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.cli import main
from tests.golden.runs import picture


def test_the_command(tmp_path, capsys):
    """Record twice, once with the weights left on disk: one file. Of some taps, of some rows: right when compared."""
    image = tmp_path / "picture.png"
    Image.fromarray(picture(1, 60, 60)).save(image)
    call = ["golden", "record", str(image), "--prompt", "What is this?", "--tokens", "2"]
    for name, options in {"a": [], "b": [], "streamed": ["--stream"], "rows": ["--budget", "1MB"]}.items():
        assert main([*call, "-o", str(tmp_path / name), *options]) == 0
    whole = (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").read_bytes() == whole
    assert (tmp_path / "streamed").read_bytes() == whole
    golden, rows = read_golden(tmp_path / "a"), read_golden(tmp_path / "rows")
    assert (tmp_path / "rows").stat().st_size < 1.3e6 < len(whole)
    assert rows.names == golden.names
    for name in rows.names:
        kept = rows.rows(name)
        if kept is None:
            assert np.array_equal(rows.taps[name], golden.taps[name])
        else:
            flat = golden.taps[name].reshape(-1, golden.taps[name].shape[-1])
            assert np.array_equal(rows.taps[name], flat[kept])
            assert rows.metadata["rows"][name]["shape"] == list(golden.taps[name].shape)
    only = ["--only", "*.layers.1.attention.*", "--only", "lm_head.*", "--dtype", "float32"]
    assert main([*call, "-o", str(tmp_path / "some"), *only]) == 0
    some = [name for name in read_golden(tmp_path / "some").names if not is_input(name)]
    assert 3 < len(some) < 20 and all(".layers.1.attention." in name or "lm_head" in name for name in some)
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert main(["golden", "compare", str(tmp_path / "a"), str(tmp_path / "some"), "--json", "--html", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["passes"]
    assert "<h1>Right</h1>" in page.read_text()
    right = read_golden(tmp_path / "some")
    broken = {
        name: x[..., ::-1] if "out_proj" in name else x for name, x in right.taps.items() if "lm_head" not in name
    }
    write_golden(tmp_path / "wrong", Golden(broken, right.metadata))
    assert main(["golden", "compare", str(tmp_path / "a"), str(tmp_path / "wrong")]) == 1
    assert "WRONG: model.vision_tower.transformer.encoder.layers.1.attention.out_proj.output" in capsys.readouterr().out


def test_refusals(tmp_path, capsys):
    with pytest.raises(InputError, match="no folder"):
        GoldenWriter(tmp_path / "nowhere" / "a")
    with pytest.raises(InputError, match="comes twice"), GoldenWriter(tmp_path / "a") as writer:
        writer.add("x", np.zeros(2))
        writer.add("x", np.zeros(2))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="complex128"), GoldenWriter(tmp_path / "a") as writer:
        writer.add("x", np.zeros(2, complex))
    (tmp_path / "cut").write_bytes(b"\x00" * 30)
    with pytest.raises(CheckpointError):
        read_golden(tmp_path / "cut")
    write_golden(tmp_path / "future", Golden({"x": np.zeros(2)}, {"version": 2}))
    with pytest.raises(InputError, match="version 2"):
        read_golden(tmp_path / "future")
    assert main(["golden", "record", "--budget", "10B", "-o", str(tmp_path / "small")]) == 2
    assert "too small" in capsys.readouterr().err


@pytest.mark.slow
def test_streamed_weights_are_not_kept(tmp_path):
    """Recording takes the memory of a few layers, not that of the model, and writes the same values."""
    text = {
        "vocab_size": 512, "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 12, "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }  # fmt: skip
    tiny = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    config = Ovis2Config.from_dict({**tiny.config.to_dict(), "text_config": text, "hidden_size": 192})
    generator = np.random.default_rng(1)
    weights = {
        name: generator.standard_normal(shape, np.float32) * np.float32(0.02)
        for name, shape in expected_shapes(config).items()
    }
    Ovis2ForConditionalGeneration(config, weights).save_pretrained(tmp_path / "model")
    Ovis2Processor.from_pretrained(TINY).save_pretrained(tmp_path / "model")
    layer = sum(array.nbytes for name, array in weights.items() if ".language_model.layers.0." in name)
    del weights
    peaks = {}
    for name, options in {"whole": [], "streamed": ["--stream"]}.items():
        call = [
            "golden",
            "record",
            str(SAMPLE),
            "--checkpoint",
            str(tmp_path / "model"),
            "--dtype",
            "float32",
            *options,
        ]
        tracemalloc.start()
        assert main([*call, "--only", "*.layers.*.output", "-o", str(tmp_path / name)]) == 0
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "streamed").read_bytes()
    assert peaks["whole"] > 12 * layer and peaks["whole"] - peaks["streamed"] > 9 * layer, (peaks, layer)
