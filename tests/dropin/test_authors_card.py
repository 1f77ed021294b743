"""The scripts of the authors' model card, run with the import changed; what they print against the authors' golden values, and,
where there are none, against our processor and `generate`, which `tests/test_original.py` compares with the authors' code.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ovis2_ref import AutoModelForCausalLM, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.errors import InputError

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden_original"
CASES = json.loads((GOLDEN / "cases.json").read_text())
VALUES = load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What each script prints."""
    scripts = sorted((Path(__file__).parent / "authors").glob("*.py"))
    command = [sys.executable, "-m", "tests.dropin.runner", "ovis2_ref", *map(str, scripts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert not found["loaded"]
    return found["printed"]


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(GOLDEN / "checkpoint")


@pytest.fixture(scope="module")
def processor() -> Ovis2Processor:
    return Ovis2Processor.from_pretrained(GOLDEN / "checkpoint", convention="original", padding_side="left")


def until_end(ids: list[int], ends: tuple[int, ...] = (334, 335)) -> list[int]:
    """Return `ids` as an answer has them that stops at an end token."""
    stop = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: stop + 1]


@pytest.mark.parametrize("script", ["single_picture.py", "batch.py"])
def test_pictures_and_batches(printed: dict[str, str], processor: Ovis2Processor, script: str) -> None:
    lines = printed[script].splitlines()
    assert len(lines) == (8 if script == "single_picture.py" else 4), printed[script]
    for case, line in enumerate(lines):
        ids = ast.literal_eval(line[line.rindex("[") :])
        expected = until_end(VALUES[f"{case}.generated"][0].tolist())
        assert ids[: len(expected)] == expected
        assert set(ids[len(expected) :]) <= {335}
        assert repr(processor.decode(expected, skip_special_tokens=True)) in line


def test_other_inputs(printed: dict[str, str], model: Any, processor: Ovis2Processor) -> None:
    pictures = [Image.open(GOLDEN / f"image{number}.png") for number in range(4)]
    frames = [picture.convert("RGB").resize((70, 50)) for picture in pictures]
    lines = printed["other_inputs.py"].splitlines()
    assert len(lines) == 4, printed["other_inputs.py"]
    for line, images, tiles in zip(lines, (pictures[:3], frames, None, pictures[:1]), (4, 1, 9, 9), strict=True):
        prompt = ast.literal_eval(line[: line.rindex(" (")])
        inputs = processor(images=images, text=prompt, max_patches=tiles)
        answer = model.generate(**inputs, max_new_tokens=8, eos_token_id=None)[:, inputs["input_ids"].shape[1] :]
        assert ast.literal_eval(line[line.rindex("[") :]) == answer[0].tolist()
    assert lines[2].startswith(
        repr("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHello")[:-1]
    )
    assert "system\\nAnswer briefly.<|im_end|>" in lines[3]
    assert (
        "assistant\\nA picture.<|im_end|>\\n<|im_start|>user\\nOf what?<|im_end|>\\n<|im_start|>assistant\\nIt shows'"
        in lines[3]
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["image"])
def test_prepared_inputs(model: Any, case: dict[str, Any]) -> None:
    """Prompt, ids with one atom for a tile, and tiles: the authors' values."""
    prompt, ids, pixels = model.preprocess_inputs(case["text"], [Image.open(GOLDEN / case["image"])])
    assert prompt == case["prompt"]
    np.testing.assert_array_equal(np.asarray(ids), VALUES[f"{case['case']}.token_ids"])
    np.testing.assert_allclose(np.asarray(pixels), VALUES[f"{case['case']}.pixel_values"], rtol=0, atol=1e-6)
    tiles, placeholder = model.get_visual_tokenizer().preprocess_image(Image.open(GOLDEN / case["image"]))
    np.testing.assert_array_equal(np.asarray(tiles), np.asarray(pixels))
    assert [i for i in np.asarray(ids).tolist() if i < 0] == placeholder


def test_a_sequence_that_is_too_long(model: Any) -> None:
    """Cut on the left, as the authors cut it, with a warning; expanded atoms are taken, too."""
    _, ids, pixels = model.preprocess_inputs(CASES[1]["text"], [Image.open(GOLDEN / CASES[1]["image"])])
    ids, pixels = np.asarray(ids)[None], np.asarray(pixels)
    whole, _ = model._merged(ids, None, [pixels])
    short = AutoModelForCausalLM.from_pretrained(GOLDEN / "checkpoint", multimodal_max_length=20)
    assert short.config.multimodal_max_length == 20
    assert model.config.multimodal_max_length == 4096
    with pytest.warns(UserWarning, match="only its last 20 are read"):
        cut, mask = short._merged(ids, np.ones_like(ids), [pixels])
    np.testing.assert_array_equal(cut, whole[:, -20:])
    assert mask.shape == (1, 20)
    per_tile = model.config.vision_config.tokens_per_tile
    expanded, _ = model._merged(np.repeat(ids, np.where(ids[0] == -300, per_tile, 1), axis=1), None, [pixels])
    np.testing.assert_array_equal(expanded, whole)


def test_frames_that_a_function_selects(model: Any) -> None:
    def select(conversations: Any, frames: Any, every: int) -> Any:
        return conversations, frames[::every]

    frames = [Image.open(GOLDEN / "image0.png")] * 4
    _, ids, pixels = model.preprocess_inputs(
        "<image><image>", frames, max_partition=1, frame_selector=select, frame_selector_kwargs={"every": 2}
    )
    assert len(pixels) == 2
    assert list(np.asarray(ids)).count(-300) == 2


WRONG: dict[str, Any] = {
    "takes a text, or turns": lambda m: m.preprocess_inputs([{"from": "nobody", "value": "a"}]),
    "for training": lambda m: m.preprocess_inputs("a", return_labels=True),
    "1 <image>|<image>.*1": lambda m: m.preprocess_inputs("<image>", []),
    "has 1 image atoms, and its pixel_values 0 tiles": lambda m: m.generate(np.array([[-300]]), pixel_values=[None]),
    "with one entry of pixel_values for each row": lambda m: m.generate(np.array([[1], [2]]), pixel_values=[None]),
    "should be a whole number": lambda m: AutoModelForCausalLM.from_pretrained(m.folder, multimodal_max_length="a"),
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_wrong_calls(model: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        WRONG[words](model)


def test_under_the_other_convention() -> None:
    """Each of the authors' names says what to use."""
    load = Ovis2ForConditionalGeneration.from_pretrained
    ours = load(GOLDEN / "checkpoint")
    for name, call in {
        "get_text_tokenizer": ours.get_text_tokenizer,
        "get_visual_tokenizer": ours.get_visual_tokenizer,
        "preprocess_inputs": lambda: ours.preprocess_inputs("a"),
        "pixel_values, one entry for each row": lambda: ours.generate(np.array([[5]]), pixel_values=[None]),
        "multimodal_max_length": lambda: load(GOLDEN / "checkpoint", multimodal_max_length=100),
        "llm_attn_implementation": lambda: load(GOLDEN / "checkpoint", llm_attn_implementation="eager"),
    }.items():
        with pytest.raises(InputError, match=f"{name} is a name of the authors' code: .*'transformers' use "):
            call()
    random = Ovis2ForConditionalGeneration(ours.config, ours.weights, "original")
    with pytest.raises(InputError, match="reads the folder of the model"):
        random.get_text_tokenizer()


def test_all_arguments_are_named() -> None:
    with pytest.raises(
        InputError, match=r"adapter, .*convention, .*device, .*dtype, .*keep_quantized, .*progress, .*stream"
    ):
        Ovis2ForConditionalGeneration.from_pretrained(GOLDEN / "checkpoint", xyz=1)
