"""Convention "original" against the authors' own code: every stage of every case of `golden_original`, from its checkpoint.

The golden values are the authors' float32 on a CPU. Pixel values and token ids are equal; what comes after differs by float32
rounding: at most 64 eps times the root of the longest sum's length (588 pixels of a patch) of the largest value, more after each
of the layers. Features and logits that are off by a stage (a norm too many, a transposed grid) are off by more than 0.1.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.runtime.taps import recording

GOLDEN = Path(__file__).parent / "golden_original"
CASES = json.loads((GOLDEN / "cases.json").read_text())
BOUND = 64 * np.finfo(np.float32).eps * 588**0.5


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """The authors' values, by name of case and stage."""
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def model() -> Ovis2ForConditionalGeneration:
    return Ovis2ForConditionalGeneration.from_pretrained(GOLDEN / "checkpoint", convention="original")


@pytest.fixture(scope="module")
def processor() -> Ovis2Processor:
    return Ovis2Processor.from_pretrained(GOLDEN / "checkpoint", convention="original")


def expect_close(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Fail if a value is off by more than `BOUND` of the largest."""
    assert ours.shape == theirs.shape, what
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error <= BOUND, f"{what}: off by {error:.3g} of the largest value, bound {BOUND:.3g}"


def one_atom_a_tile(ids: np.ndarray, model: Ovis2ForConditionalGeneration) -> np.ndarray:
    """Return the ids with a tile's atoms taken together: the authors write one, and put all of the tile's embeddings in its
    place.
    """
    atoms = np.flatnonzero(ids == model.config.image_token_id).reshape(-1, model.config.vision_config.tokens_per_tile)
    return np.delete(ids, atoms[:, 1:].reshape(-1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["image"])
def test_every_stage(case, golden, model, processor):
    """Picture and prompt in; tiles, features, visual tokens, ids, embeddings, logits and twelve greedy tokens out."""
    prefix = f"{case['case']}."
    expected = {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}
    inputs = processor(images=Image.open(GOLDEN / case["image"]), text=case["prompt"], return_tensors="np")
    np.testing.assert_array_equal(inputs["pixel_values"], expected["pixel_values"])
    np.testing.assert_array_equal(one_atom_a_tile(inputs["input_ids"][0], model), expected["token_ids"])
    with recording() as values:
        logits = model(**inputs).logits
    words = values["model.vision_tower.tokens"].shape[-1]
    expect_close(values["model.vision_tower.merged"], expected["features"], "features")
    expect_close(values["model.vision_tower.tokens"], expected["visual_tokens"][..., :words], "visual tokens")
    embeddings = values["model.language_model.inputs_embeds"].reshape(expected["inputs_embeds"].shape)
    expect_close(embeddings, expected["inputs_embeds"], "embeddings")
    expect_close(logits.reshape(expected["logits"].shape), expected["logits"], "logits")
    # The golden run had no end token.
    ids = model.generate(**inputs, max_new_tokens=12, min_new_tokens=12, do_sample=False, eos_token_id=None)
    np.testing.assert_array_equal(ids[0, inputs["input_ids"].shape[1] :], expected["generated"].reshape(-1))
