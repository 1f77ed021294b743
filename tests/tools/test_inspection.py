"""What `inspect` prints: its tiles and tokens against what the processor makes of such a picture, its figures against known."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref import TINY, Ovis2Processor
from ovis2_ref.errors import CheckpointError
from ovis2_ref.text.layout import IMAGE_TOKEN
from ovis2_ref.tools.inspect import inspect_text
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint


@pytest.mark.parametrize(("folder", "convention"), [(TINY, "transformers"), (GOLDEN, "original")])
@given(height=st.integers(20, 400), width=st.integers(20, 400))
def test_tiles_and_tokens(folder, convention, height, width):
    text = inspect_text(folder, (height, width))
    inputs = Ovis2Processor.from_pretrained(folder, convention)(
        images=np.zeros((height, width, 3), np.uint8), text=IMAGE_TOKEN
    )
    tiles = len(inputs["pixel_values"])
    assert ("one tile" if tiles == 1 else f"{tiles} tiles with the thumbnail") in text
    assert f"  {inputs['input_ids'].size} tokens: " in text
    assert f"{width} x {height} px" in text
    assert f'made for convention "{convention}"' in text


def test_a_released_size():
    """Ovis2-1B, without any file: the figures of its model card and of its configuration."""
    text = inspect_text("Ovis2-1B", (720, 1280))
    for part in (
        "24 blocks 1024 wide, 8 heads of 128",
        "448 x 448 px -> 32 x 32 patches of 14 px -> merged 2 x 2 -> 256 visual tokens",
        "24 blocks 896 wide, 14 query heads of 64 on 2 key-value heads",
        "tied to the text table",
        "<IMG_ATOM> 151665, <IMG_START> 151666",
        "eos 151645, pad 151643",
        "1800 tokens: 1792 visual, 8 indicators",
        "12.00 KiB in bfloat16",
        "  | <image>\n  | Describe the image.<|im_end|>\n  | <|im_start|>assistant",
    ):
        assert part in text
    assert re.search(r"vision: head +268,546,038 +1.00 GiB +512 MiB +23.7 %", text)
    assert re.search(r"total +1,131,283,318 +4.21 GiB +2.11 GiB +100.0 %", text)
    assert "separate" in next(line for line in inspect_text("Ovis2-8B").splitlines() if "output head" in line)


def test_a_folder():
    text = inspect_text(GOLDEN)
    assert "74 weights in 1 file, stored as F32" in text
    assert "eos [334, 335], pad 335" in text
    assert "<IMG_ATOM> -300, <IMG_START> -301" in text


def test_folders_that_are_refused(tmp_path):
    folder = tmp_path / "authors"
    copy_original_checkpoint(folder)
    (folder / "config.json").write_text(
        (folder / "config.json").read_text().replace('"vocab_size": 346', '"vocab_size": 400')
    )
    with pytest.raises(
        CheckpointError, match=r"embed_tokens.weight: misshapen, \(346, 96\) where \(400, 96\) was expected"
    ):
        inspect_text(folder)
    with pytest.raises(CheckpointError, match="there is no checkpoint folder 'Ovis2-3B'"):
        inspect_text("Ovis2-3B")
