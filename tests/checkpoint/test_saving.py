"""What is saved against transformers: it loads every checkpoint that is written here, with the same weights, and generates the
same ids; converted from the authors' layout, too.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.checkpoint.loading import load_weights, read_config
from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, expected_shapes
from ovis2_ref.checkpoint.random_weights import DrawnWeights, random_weights
from ovis2_ref.checkpoint.saving import save_checkpoint
from ovis2_ref.errors import CheckpointError
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint
from tests.oracle import TORCH_DTYPES, reference_config, to_numpy
from tests.strategies import ovis2_configs, seeds


def loaded_by_transformers(folder, dtype):
    """Return the model that transformers makes of the folder; no weight may be missing or too many."""
    key = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    model, report = transformers.Ovis2ForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **{key: TORCH_DTYPES[dtype]}
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


@settings(max_examples=15)
@given(ovis2_configs(), seeds, st.sampled_from(sorted(TORCH_DTYPES)), st.sampled_from([3000, 10**9]))
def test_transformers_loads_what_is_saved(config, seed, dtype, shard_bytes):
    """In one file or in shards, of every type; and what is loaded here again is the same configuration and the same bits."""
    weights = DrawnWeights(config, seed, dtype)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, config, weights, {"eos_token_id": 3}, shard_bytes)
        names = sorted(path.name for path in Path(folder).iterdir())
        assert ("model.safetensors.index.json" in names) == ("model.safetensors" not in names)
        found = read_config(folder)
        assert found == replace(
            config, text_config=replace(config.text_config, tie_word_embeddings=config.tie_word_embeddings)
        )
        again = load_weights(folder, found, dtype)
        assert list(again) == list(weights) == list(expected_shapes(config))
        assert all(again[name].tobytes() == weights[name].tobytes() for name in weights)
        model = loaded_by_transformers(folder, dtype)
        assert model.generation_config.eos_token_id == 3
        state = model.state_dict()
        for name, array in again.items():
            assert to_numpy(state[name]).tobytes() == array.tobytes(), name
        frequencies = Qwen2RotaryEmbedding(reference_config(config).text_config).inv_freq
        assert torch.equal(model.model.language_model.rotary_emb.inv_freq, frequencies)
        head = EMBEDDINGS if config.tie_word_embeddings else HEAD
        assert to_numpy(state[HEAD]).tobytes() == again[head].tobytes()


def prompt(config, generator):
    """Ids with one tile's layout among drawn words, and the tile."""
    words = generator.integers(0, config.image_token_id, 5)
    start, grid, _, _, end = config.visual_indicator_token_ids
    picture = [start, *[config.image_token_id] * config.vision_config.tokens_per_tile, grid, end]
    side = config.vision_config.image_size
    pixels = generator.standard_normal((1, config.vision_config.num_channels, side, side), np.float32)
    return np.concatenate([words[:2], picture, words[2:]])[None], pixels


def assert_same_answer(ours, theirs, ids, pixels):
    """Twelve greedy tokens."""
    found = ours.generate(ids, pixel_values=pixels, max_new_tokens=12, do_sample=False)
    arguments = {"input_ids": torch.tensor(ids), "pixel_values": torch.tensor(pixels)}
    mask = torch.ones_like(arguments["input_ids"])
    expected = theirs.generate(**arguments, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert found.tolist() == expected.tolist()


def test_a_random_model_answers_as_transformers_after_saving(tmp_path, small_config):
    """Saved, loaded whole and streamed; then saved again over the files that it is being read from, in one file for shards."""
    model = Ovis2ForConditionalGeneration.random(small_config, 7)
    save_checkpoint(tmp_path, small_config, model.weights, max_shard_bytes=3000)
    ids, pixels = prompt(small_config, np.random.default_rng(0))
    streamed = Ovis2ForConditionalGeneration.from_pretrained(tmp_path, stream=True)
    assert_same_answer(model, loaded_by_transformers(tmp_path, "float32"), ids, pixels)
    loaded = Ovis2ForConditionalGeneration.from_pretrained(tmp_path)
    expected = model(input_ids=ids, pixel_values=pixels).logits
    assert (loaded(input_ids=ids, pixel_values=pixels).logits == expected).all()
    assert (streamed(input_ids=ids, pixel_values=pixels).logits == expected).all()
    streamed.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("model*")) == ["model.safetensors"]
    assert (loaded(input_ids=ids, pixel_values=pixels).logits == expected).all()
    again = Ovis2ForConditionalGeneration.from_pretrained(tmp_path)
    assert (again(input_ids=ids, pixel_values=pixels).logits == expected).all()


def test_drawn_weights(small_config):
    """The same for one seed in every type, others for another; spread as said; all different."""
    drawn = random_weights(small_config, 3)
    assert {name: array.shape for name, array in drawn.items()} == expected_shapes(small_config)
    half, other = random_weights(small_config, 3, "bfloat16"), random_weights(small_config, 4)
    for name, array in drawn.items():
        assert half[name].tobytes() == array.astype("bfloat16").tobytes()
        assert not np.array_equal(other[name], array)
    assert len({array.tobytes() for array in drawn.values()}) == len(drawn)
    table, matrix = drawn[EMBEDDINGS], drawn["model.vision_tower.head_linear.weight"]
    assert abs(table.std() - 1) < 0.1
    assert abs(matrix.std() * matrix.shape[1] ** 0.5 - 1) < 0.1
    assert abs(drawn["model.language_model.norm.weight"].mean() - 1) < 0.2


def test_models_of_the_authors_convention_are_not_saved(tmp_path):
    model = Ovis2ForConditionalGeneration.from_pretrained(GOLDEN, convention="original")
    with pytest.raises(CheckpointError, match="convention='transformers'"):
        model.save_pretrained(tmp_path)


def test_converted_checkpoints(tmp_path):
    """transformers loads the authors' small model after conversion, with the bits of its file, and answers as it does here."""
    out = tmp_path / "converted"
    convert_original(GOLDEN, out)
    theirs = loaded_by_transformers(out, "float32")
    state = theirs.state_dict()
    with safe_open(GOLDEN / "model.safetensors", "pt") as file:
        block, layer = "visual_tokenizer.backbone.trunk.blocks.1.", "model.vision_tower.transformer.encoder.layers.1."
        q, k, v = file.get_tensor(f"{block}attn.qkv.weight").chunk(3)
        spelled_out = {
            f"{layer}attention.q_proj.weight": q,
            f"{layer}attention.k_proj.weight": k,
            f"{layer}attention.v_proj.weight": v,
            f"{layer}attention.out_proj.weight": file.get_tensor(f"{block}attn.proj.weight"),
            f"{layer}ffn.gate_proj.weight": file.get_tensor(f"{block}mlp.fc1.weight"),
            f"{layer}ffn.down_proj.weight": file.get_tensor(f"{block}mlp.fc2.weight"),
            f"{layer}ffn.up_proj.weight": file.get_tensor(f"{block}mlp.fc3.weight"),
            f"{layer}rms_norm1.weight": file.get_tensor(f"{block}norm_1.weight"),
            f"{layer}rms_norm2.weight": file.get_tensor(f"{block}norm_2.weight"),
            "model.vision_tower.transformer.embeddings.position_embedding.weight": file.get_tensor(
                "visual_tokenizer.backbone.preprocessor.pos_embed"
            )[0],
            "model.visual_embeddings_table.weight": file.get_tensor("vte.weight"),
            "lm_head.weight": file.get_tensor("llm.model.embed_tokens.weight"),
        }
    for name, tensor in spelled_out.items():
        assert torch.equal(state[name], tensor), name
    ours = Ovis2ForConditionalGeneration.from_pretrained(out)
    straight = Ovis2ForConditionalGeneration.from_pretrained(GOLDEN)
    assert straight.config == ours.config
    assert all(np.array_equal(ours.weights[name], straight.weights[name]) for name in straight.weights)
    tokens = transformers.AutoTokenizer.from_pretrained(out)
    names = ["<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    ids = [theirs.config.image_token_id, *theirs.config.visual_indicator_token_ids]
    assert tokens.convert_tokens_to_ids(names) == ids == [337, 338, 339, 340, 341, 342]
    assert ours.generation_config["eos_token_id"] == theirs.generation_config.eos_token_id == [334, 335]
    picture = np.random.default_rng(0).integers(0, 256, (90, 170, 3), np.uint8)
    processor = Ovis2Processor.from_pretrained(out)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(images=picture, text=text)
    their_text = tokens.apply_chat_template(
        [{"role": "user", "content": "<image>\nDescribe the image."}], tokenize=False, add_generation_prompt=True
    )
    assert their_text == text
    assert tokens("a <IMG_ATOM> b<IMG_END>").input_ids == processor.tokenizer("a <IMG_ATOM> b<IMG_END>")["input_ids"]
    assert len(inputs["pixel_values"]) > 1
    assert_same_answer(ours, theirs, inputs["input_ids"], inputs["pixel_values"])


def test_conversions_that_are_refused(tmp_path):
    copy_original_checkpoint(tmp_path / "authors")
    convert_original(tmp_path / "authors", tmp_path / "done")
    with pytest.raises(CheckpointError, match="is of model_type 'ovis2'"):
        convert_original(tmp_path / "done", tmp_path / "again")
    with pytest.raises(CheckpointError, match="is there already"):
        convert_original(tmp_path / "authors", tmp_path / "done")
    config = (tmp_path / "authors" / "config.json").read_text()
    (tmp_path / "authors" / "config.json").write_text(config.replace('"vocab_size": 346', '"vocab_size": 341'))
    with pytest.raises(CheckpointError, match="ids up to 342, and the text table has 341 rows"):
        convert_original(tmp_path / "authors", tmp_path / "small")
