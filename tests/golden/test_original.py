"""A blind test: from the authors' own values alone, every difference of their program from transformers' is named and proved."""

import json

import pytest
from PIL import Image
from safetensors.numpy import load_file

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.golden import Golden, compare, read_golden, record
from ovis2_ref.golden.causes.conventions import PLACEHOLDERS
from ovis2_ref.golden.reference import load_reference
from tests.test_original import GOLDEN

CASES = json.loads((GOLDEN / "cases.json").read_text())
NO_NORM, TRANSPOSED, CROP_FIRST = (
    "no norm after the vision transformer",
    "grid transposed",
    "tiles cut before resizing",
)
NINE = "grid of at most 9 tiles, not transposed"
DIFFERENCES = {
    0: {NO_NORM, PLACEHOLDERS},  # 56 x 56 in tiles of 56: nothing is cut or resized
    1: {NO_NORM, PLACEHOLDERS, TRANSPOSED, CROP_FIRST},
    2: {NO_NORM, PLACEHOLDERS, TRANSPOSED, CROP_FIRST},
    3: {NO_NORM, PLACEHOLDERS, TRANSPOSED, CROP_FIRST},
    4: {NO_NORM, PLACEHOLDERS, TRANSPOSED, CROP_FIRST},
    5: {NO_NORM, PLACEHOLDERS, NINE, CROP_FIRST},  # transformers cuts it into 12
    6: {NO_NORM, PLACEHOLDERS, CROP_FIRST},
    7: {NO_NORM, PLACEHOLDERS, CROP_FIRST},
}
"""Case -> the fields of `Convention` that it exercises, by the names of their causes."""


@pytest.mark.parametrize(
    "number",
    [
        1,
        5,
        pytest.param(0, marks=pytest.mark.slow),
        *(pytest.param(i, marks=pytest.mark.slow) for i in (2, 3, 4, 6, 7)),
    ],
)
def test_every_difference_is_named(number, tmp_path):
    case = CASES[number]
    model = Ovis2ForConditionalGeneration.from_pretrained(GOLDEN / "checkpoint")
    processor = Ovis2Processor.from_pretrained(GOLDEN / "checkpoint")
    path = tmp_path / "golden.safetensors"
    question = case["text"].removeprefix("<image>\n")
    record(path, model, processor, [Image.open(GOLDEN / case["image"])], question, tokens=12)
    golden = read_golden(path)
    prefix = f"{number}."
    values = load_file(GOLDEN / "golden.safetensors")
    candidate = Golden({name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)})
    comparison = compare(golden, candidate, load_reference(golden, GOLDEN / "checkpoint"))
    assert not comparison.unmatched
    named = {cause.cause.name for row in comparison.rows for cause in row.causes}
    assert named == DIFFERENCES[number]
    assert all(row.causes for row in comparison.of("wrong"))
