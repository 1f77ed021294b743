"""Finding a candidate's arrays: other programs' names, layouts, fused arrays, cut-off names, no names at all."""

import json

import numpy as np
import pytest

from ovis2_ref.golden import Golden
from ovis2_ref.golden.matching import match_taps
from ovis2_ref.golden.names import READY, read_names, resolve

LAYER = "model.language_model.layers.1"
TAPS = {
    f"{LAYER}.self_attn.q_proj.output": (1, 6, 8),
    f"{LAYER}.self_attn.k_proj.output": (1, 6, 4),
    f"{LAYER}.self_attn.v_proj.output": (1, 6, 4),
    f"{LAYER}.self_attn.q_rotated": (1, 2, 6, 4),
    f"{LAYER}.self_attn.weights": (1, 2, 6, 6),
    "model.language_model.rotary_emb.cos": (1, 6, 2),
    "model.vision_tower.tokens": (3, 4, 9),
    "lm_head.output": (1, 6, 11),
}


@pytest.fixture
def golden() -> Golden:
    random = np.random.default_rng(1)
    return Golden({name: random.standard_normal(shape).astype(np.float32) for name, shape in TAPS.items()})


def found(golden: Golden, arrays: dict[str, np.ndarray], names=None):
    matches = match_taps(golden, Golden(arrays), golden.names, names)
    for tap, match in matches.found.items():
        if match.array.shape == golden.taps[tap].shape:
            np.testing.assert_array_equal(match.array, golden.taps[tap], err_msg=tap)
    return matches.found, matches.unmatched


def test_layouts(golden):
    """Flattened, without a batch, axes in another order, a table twice, columns of zeros."""
    taps = golden.taps
    arrays = {
        "lm_head.output": taps["lm_head.output"].reshape(-1),
        f"{LAYER}.self_attn.q_rotated": taps[f"{LAYER}.self_attn.q_rotated"][0].transpose(1, 0, 2),
        f"{LAYER}.self_attn.weights": taps[f"{LAYER}.self_attn.weights"].swapaxes(2, 3),
        "model.language_model.rotary_emb.cos": np.tile(taps["model.language_model.rotary_emb.cos"], 2),
        "model.vision_tower.tokens": np.pad(taps["model.vision_tower.tokens"], ((0, 0), (0, 0), (0, 5))),
    }
    matches, unmatched = found(golden, arrays)
    assert set(matches) == set(arrays) and not unmatched
    assert all(match.how for match in matches.values())


def test_fused_arrays_and_maps(golden):
    """vLLM's joined q, k and v; llama.cpp's names and axes; a map of one's own."""
    taps = golden.taps
    joined = np.concatenate([taps[f"{LAYER}.self_attn.{part}_proj.output"] for part in "qkv"], axis=-1)
    matches, _ = found(golden, {"llm.model.layers.1.self_attn.qkv_proj": joined[0]})
    assert len(matches) == 3
    matches, _ = found(
        golden, {"Qcur-1": taps[f"{LAYER}.self_attn.q_rotated"][0].transpose(1, 0, 2)}, read_names("llama_cpp")
    )
    assert list(matches) == [f"{LAYER}.self_attn.q_rotated"]
    matches, _ = found(
        golden,
        {"p1": taps[f"{LAYER}.self_attn.weights"]},
        {"p{i}": "model.language_model.layers.{i}.self_attn.weights"},
    )
    assert list(matches) == [f"{LAYER}.self_attn.weights"]


def test_cut_off_and_missing_names(golden):
    """A name of 40 letters, one without its beginning; one that says nothing is only guessed at."""
    taps = golden.taps
    arrays = {
        f"{LAYER}.self_attn.weights"[:43]: taps[f"{LAYER}.self_attn.weights"],
        "self_attn.q_proj.output": taps[f"{LAYER}.self_attn.q_proj.output"],
        "node_17": taps["model.vision_tower.tokens"].reshape(12, 9) + np.float32(1e-3),
        "node_18": np.ones((4, 27), np.float32),
    }
    matches = match_taps(golden, Golden(arrays), golden.names)
    assert set(matches.found) == {f"{LAYER}.self_attn.weights", f"{LAYER}.self_attn.q_proj.output"}
    assert matches.unmatched == ["node_17", "node_18"]
    (guess,) = matches.guesses
    assert guess[:2] == ("node_17", "model.vision_tower.tokens") and guess.likeness > 0.9


@pytest.mark.parametrize("name", READY)
def test_ready_maps(name):
    """Each says what it is for, and ends in taps."""
    names = read_names(name)
    assert len(names[""]) > 20
    for key in names:
        if key:
            assert all(tap.count("{i}") == key.count("{i}") for tap in resolve(key, names)), key


def test_a_map_that_is_none(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"a": 3}))
    with pytest.raises(ValueError, match="should be a tap"):
        read_names(path)
    with pytest.raises(ValueError, match="no map"):
        read_names("vllm2")


def test_a_wrong_value_keeps_its_axes():
    """Masked scores that are unlike the golden ones, and pixels with rows and columns swapped, are wrong, not of other axes."""
    random = np.random.default_rng(2)
    future = ~np.tri(6, dtype=bool)
    scores, others = (np.where(future, -np.inf, random.standard_normal((1, 2, 6, 6))) for _ in range(2))
    pixels = random.standard_normal((1, 3, 8, 8))
    tap = f"{LAYER}.self_attn.scores"
    golden = Golden({tap: scores, "pixel_values": pixels})
    for candidate in ({tap: others, "pixel_values": pixels.swapaxes(2, 3)}, {tap: scores}):
        matches = match_taps(golden, Golden(candidate), golden.names).found
        assert all(np.array_equal(match.array, candidate[name]) for name, match in matches.items())
    matches = match_taps(golden, Golden({tap: scores.swapaxes(2, 3)}), golden.names).found
    assert np.array_equal(matches[tap].array, scores)
