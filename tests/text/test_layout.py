"""A picture's place in the prompt: against transformers' processor, and against token ids of the authors' own code."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ovis2_ref.errors import InputError
from ovis2_ref.text.layout import expand_pictures, image_placeholder, original_placeholder, original_token_ids
from ovis2_ref.text.tokenizer import Tokenizer
from tests.text.drawn import plain_texts
from tests.text.reference import TOKENS_PER_TILE, V5, reference_processor

GOLDEN = Path(__file__).parent.parent / "golden_original"
GRIDS = {0: (1, 1), 1: (2, 3), 2: (3, 2), 3: (1, 6), 4: (3, 1), 5: (3, 3), 6: (1, 1), 7: (1, 1)}
"""The grid of each of the authors' cases, read off their token ids."""

grids = st.tuples(st.integers(1, 5), st.integers(1, 5))


def expanded_by_transformers(text: str, grids: list[tuple[int, int]]) -> str:
    processor = reference_processor()
    if not V5:
        return processor._expand_image_tokens([text], [list(grid) for grid in grids])[0]
    inputs = {"grids": np.array(grids)}
    placeholders = [processor.replace_image_token(inputs, i) for i in range(len(grids))]
    return processor.get_text_with_replacements([text], placeholders)[0][0]


@given(grid=grids)
def test_the_placeholder_of_a_picture(grid: tuple[int, int]) -> None:
    assert image_placeholder(grid, TOKENS_PER_TILE) == expanded_by_transformers("<image>", [grid])


@given(pieces=st.lists(plain_texts, min_size=1, max_size=5), data=st.data())
def test_pictures_in_a_text(pieces: list[str], data: st.DataObject) -> None:
    text = "<image>".join(pieces)
    drawn = [data.draw(grids) for _ in range(text.count("<image>"))]
    expected = expanded_by_transformers(text, drawn) if drawn else text
    assert expand_pictures([text], drawn, TOKENS_PER_TILE) == [expected]
    assert "".join(expand_pictures(text.split("<image>", 1)[:1], [], TOKENS_PER_TILE)) == text.split("<image>")[0]


@given(grid=grids, tokens=st.integers(1, 4))
def test_both_spellings_have_one_layout(grid: tuple[int, int], tokens: int) -> None:
    names = {
        -300: "<IMG_ATOM>",
        -301: "<IMG_START>",
        -302: "<IMG_GRID>",
        -303: "<IMG_COL>",
        -304: "<IMG_ROW>",
        -305: "<IMG_END>",
    }
    assert "".join(names[i] for i in original_placeholder(grid, tokens)) == image_placeholder(grid, tokens)


def test_the_authors_token_ids() -> None:
    golden, tokenizer = load_file(GOLDEN / "golden.safetensors"), Tokenizer.from_pretrained(GOLDEN / "checkpoint")
    for case in json.loads((GOLDEN / "cases.json").read_text()):
        number = case["case"]
        (ids,) = original_token_ids([case["prompt"]], [GRIDS[number]], tokenizer.encode)
        assert ids == golden[f"{number}.token_ids"].tolist()


def test_pieces_are_tokenised_apart() -> None:
    """Together "circle" would be one token; a picture in the middle keeps the halves apart, and batches share the pictures."""
    tokenizer = Tokenizer.from_pretrained(GOLDEN / "checkpoint")
    encode = tokenizer.encode
    one, two = original_placeholder((1, 1), 1), original_placeholder((1, 2), 1)
    rows = original_token_ids(["a cir<image>cle", "<image>"], [(1, 1), (1, 2)], encode)
    assert rows == [[*encode("a cir"), *one, *encode("cle")], two]
    assert encode("a cir") + encode("cle") != encode("a circle")


@pytest.mark.parametrize("prompts", [["no place"], ["<image><image>"], ["<image>", "<image>"]])
def test_places_and_pictures_have_to_agree(prompts: list[str]) -> None:
    with pytest.raises(InputError, match="1 pictures"):
        expand_pictures(prompts, [(1, 1)], 1)
    with pytest.raises(InputError, match="1 pictures"):
        original_token_ids(prompts, [(1, 1)], list)
