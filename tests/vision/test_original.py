"""The vision side in the original convention against what the authors' own code computed: `features` and `visual_tokens` of every
golden case, in float32.

The authors' numbers are float32 as well. Each rounding on the way is off by eps / 2 at most, independently of the others, so both
programs are held to eps times the square root of the additions in the longest path (each layer's products and its sums over the
patches), times 8 for what norms and softmax amplify. Probabilities are held to that relative to themselves.
"""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ovis2_ref.checkpoint.loading import load_weights, read_config
from ovis2_ref.convention import ORIGINAL, TRANSFORMERS
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.encoder import vision_transformer
from ovis2_ref.vision.visual_tokenizer import merge_patches, visual_tokens
from tests.vision.oracle import TOWER

GOLDEN = Path(__file__).parent.parent / "golden_original"
CONFIG = read_config(GOLDEN / "checkpoint", ORIGINAL).vision_config
ADDITIONS = CONFIG.num_hidden_layers * (
    4 * CONFIG.hidden_size + 2 * CONFIG.intermediate_size + CONFIG.patches_per_side**2
)
BOUND = 8 * np.finfo(np.float32).eps * ADDITIONS**0.5


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """What the authors' code computed."""
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """The golden checkpoint's weights, by transformers' names."""
    whole = read_config(GOLDEN / "checkpoint", ORIGINAL)
    return load_weights(GOLDEN / "checkpoint", whole, np.dtype(np.float32), np)


@pytest.mark.parametrize("case", range(8))
def test_features_and_visual_tokens(case: int, golden: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> None:
    pixels = golden[f"{case}.pixel_values"]
    features = vision_transformer(pixels, Weights(weights, f"{TOWER}.transformer"), CONFIG, ORIGINAL)
    merged = merge_patches(features, CONFIG.hidden_stride)
    theirs = golden[f"{case}.features"]
    assert np.abs(merged - theirs).max() <= BOUND * np.abs(theirs).max()
    tokens = visual_tokens(merged, Weights(weights, TOWER), CONFIG, ORIGINAL)
    theirs = golden[f"{case}.visual_tokens"]
    words = tokens.shape[-1]
    assert theirs.shape[-1] == words + CONFIG.num_visual_indicator_tokens
    assert not theirs[..., words:].any(), "the authors' tokens give the indicators no probability"
    assert (np.abs(tokens - theirs[..., :words]) <= BOUND * theirs[..., :words]).all()


def test_the_final_norm_is_what_parts_the_conventions(
    golden: dict[str, np.ndarray], weights: dict[str, np.ndarray]
) -> None:
    pixels, theirs = golden["0.pixel_values"], golden["0.features"]
    features = vision_transformer(pixels, Weights(weights, f"{TOWER}.transformer"), CONFIG, TRANSFORMERS)
    assert np.abs(merge_patches(features, CONFIG.hidden_stride) - theirs).max() > 0.01 * np.abs(theirs).max()
