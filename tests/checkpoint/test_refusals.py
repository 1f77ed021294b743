"""Folders that are refused, each for the reason that its message gives; and the links that the Hugging Face cache is made of,
which are followed. What is refused is what would execute, or lead out of the folder, or can't be read.
"""

import json
import os
import shutil

import pytest
import torch

from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import CheckpointError, ConfigError
from ovis2_ref.files.reading import JSON_LIMIT, path_inside, read_json
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint
from tests.oracle import reference_model

INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path, small_config):
    """A sound folder in shards, with a sound shard of the same names beside it, outside."""
    folder = tmp_path / "checkpoint"
    reference_model(small_config, 0).save_pretrained(folder, max_shard_size="20KB")
    shutil.copytree(folder, tmp_path / "outside")
    return folder


def load(folder):
    """Configuration and weights."""
    return load_weights(folder, read_config(folder))


def first_shard(folder):
    """Return the first shard's path."""
    return min(folder.glob("*.safetensors"))


def point_index(folder, target):
    """Let the index place the first shard's weights in `target`."""
    name = first_shard(folder).name
    values = json.loads((folder / INDEX).read_text())
    places = values["weight_map"]
    values["weight_map"] = {key: target if place == name else place for key, place in places.items()}
    (folder / INDEX).write_text(json.dumps(values))


@pytest.mark.parametrize(
    "way", ["../outside/{}", "{outside}/{}", "sub/{}", "..", "", ".", "sub\\{}", "{}\x00", "\ud800{}"]
)
def test_an_index_that_points_outside(sharded, way):
    point_index(sharded, way.format(first_shard(sharded).name, outside=sharded.parent / "outside"))
    with pytest.raises(
        CheckpointError, match=r"is not the name of a file|safetensors files were expected|no usable|surrogates"
    ):
        load(sharded)


@pytest.mark.parametrize("name", ["config.json", INDEX, "shard"])
def test_links_out_of_the_folder(sharded, name):
    """A link to a sound file outside, to a folder, to a device, to itself; a link to a sound file inside is followed."""
    path = first_shard(sharded) if name == "shard" else sharded / name
    outside = sharded.parent / "outside" / path.name
    path.rename(sharded / "kept.safetensors")
    for target, reason in (
        (outside, "is a link out of the folder"),
        (sharded.parent, "is a link out of the folder"),
        ("/dev/zero", "is a link out of the folder"),
        (sharded, "is a link out of the folder"),
        (path.name, "no usable"),
        ("nowhere", "no usable"),
    ):
        path.symlink_to(target)
        with pytest.raises(CheckpointError, match=reason):
            load(sharded)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="is not a regular file"):
        load(sharded)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="is not a regular file"):
        load(sharded)
    path.rmdir()
    path.symlink_to("kept.safetensors")
    assert load(sharded)


def test_the_cache_of_hugging_face(sharded, tmp_path):
    """snapshots/revision holds links to blobs; links to anything else beside them are refused."""
    model = tmp_path / "models--AIDC-AI--Ovis2-1B"
    snapshot = model / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    for i, path in enumerate(sorted(sharded.iterdir())):
        shutil.copy(path, model / "blobs" / f"{i:x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{i:x}")
    assert load(snapshot).keys() == load(sharded).keys()
    (tmp_path / "shortcut").symlink_to(snapshot)
    assert load(tmp_path / "shortcut").keys() == load(sharded).keys()
    shutil.copy(sharded / "config.json", model / "config.json")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../config.json")
    with pytest.raises(CheckpointError, match="is a link out of the folder"):
        load(snapshot)


def test_indexes_that_lie(sharded):
    index = json.loads((sharded / INDEX).read_text())
    places = index["weight_map"]
    key, name = next(iter(places.items()))
    other = next(place for place in places.values() if place != name)
    for lie, reason in (
        ({**places, key: other}, "does not place there"),
        ({**places, "model.more": name}, "which lacks it"),
        ({key: place for key, place in places.items() if place == name}, "missing, shape"),
        ({**places, key: "absent.safetensors"}, "no usable 'absent.safetensors'"),
        ({**places, key: "model.bin"}, "safetensors files were expected"),
        ({**places, key: 3}, "no weight_map from names to files"),
        ({}, "no weight_map from names to files"),
        ({f"a{i}": f"{i}.safetensors" for i in range(2000)}, "2000 as shards"),
    ):
        (sharded / INDEX).write_text(json.dumps({**index, "weight_map": lie}))
        with pytest.raises(CheckpointError, match=reason):
            load(sharded)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt", "pytorch_model.bin.index.json"]
)
def test_pickles(sharded, name):
    """Refused with the reason; beside safetensors weights they don't disturb."""
    torch.save({"a": torch.zeros(1)}, sharded / name)
    assert load(sharded)
    for path in sharded.glob("model*safetensors*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="a pickle: reading one runs whatever code it contains"):
        load(sharded)


def test_folders_that_are_none(tmp_path, sharded):
    for folder, reason in (
        (tmp_path / "nowhere", "there is no checkpoint folder"),
        ("a\x00b", "there is no checkpoint folder"),
        (sharded / "config.json", "is a file"),
        (tmp_path, "has no usable 'config.json'"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            read_config(folder)
    for path in sharded.glob("model*"):
        path.unlink()
    assert read_config(sharded)
    with pytest.raises(CheckpointError, match="holds neither model"):
        load(sharded)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "can't be read as JSON"),
        (b"[]", "holds a JSON list"),
        (b"[" * 100_000, "can't be read as JSON"),
        (b'{"a": 1e999999999999}', "of model_type None"),
        (b'{"a": ' + b"9" * 5000 + b"}", "can't be read as JSON"),
        (b" " * (JSON_LIMIT + 1), "at most 1048576 are read"),
        (b"\xff\xfe{}", "can't be read as JSON"),
        (b'{"a": "\\ud800"}', "can't be read as JSON: .*surrogates not allowed"),
        (b'{"a": "\\uD83D\\uDE00"}', "of model_type None"),
        (b'{"model_type": "ovis2", "model_type": "ovis"}', "the key 'model_type' comes twice"),
        (b'{"model_type": "ovis2_5"}', "of model_type 'ovis2_5'"),
    ],
)
def test_configurations_that_are_none(tmp_path, content, reason):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("text_config", {"hidden_size": "wide"}, "hidden_size='wide' should be a whole number above 0"),
        ("text_config", {"num_hidden_layers": 10**12}, "should be a whole number above 0"),
        ("text_config", {"num_hidden_layers": 10**6}, "is too many"),
        ("text_config", {"num_key_value_heads": 3}, "can't share"),
        ("text_config", {"model_type": "llama"}, "Ovis2's language model is qwen2"),
        ("text_config", {"rope_parameters": [1]}, "the rope.s settings are .* should be an object"),
        ("text_config", {"layer_types": ["full_attention"] * 7}, "layer_types names 7 layers"),
        ("text_config", {"layer_types": [["a"], 2]}, "layer_types=.* should be list"),
        ("text_config", {"rms_norm_eps": -1.0}, "is below 0"),
        ("vision_config", {"rms_norm_eps": True}, "should be float"),
        ("vision_config", {"rms_norm_eps": 10**400}, "should be float"),
        ("vision_config", {"hidden_act": "os.system"}, "should be one of"),
        ("vision_config", {"tokenize_function": "eval"}, "should be one of"),
        ("vision_config", {"patch_size": [4, 4]}, r"patch_size=\[4, 4\] should be int"),
        (None, {"vision_config": [1]}, "vision_config=.* should be Ovis2VisionConfig"),
        (None, {"visual_indicator_token_ids": [1, 2]}, "2 visual_indicator_token_ids"),
        (None, {"hidden_size": 17}, "differs from the language model's 16"),
        (None, {"image_token_id": None}, "image_token_id=None should be int"),
    ],
)
def test_configurations_that_cannot_be(sharded, part, change, reason):
    values = json.loads((sharded / "config.json").read_text())
    (values[part] if part else values).update(change)
    (sharded / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=reason):
        read_config(sharded)


def test_other_generations_of_the_authors_layout(tmp_path):
    """A SigLIP tokenizer (Ovis1.x), and a configuration without its parts."""
    copy_original_checkpoint(tmp_path / "authors")
    path = tmp_path / "authors" / "config.json"
    values = json.loads(path.read_text())
    values["visual_tokenizer_config"]["model_type"] = "siglip_visual_tokenizer"
    path.write_text(json.dumps(values))
    with pytest.raises(
        ConfigError, match=r"'siglip_visual_tokenizer' on 'aimv2'; .*Ovis1.x and Ovis2.5 are other models"
    ):
        read_config(tmp_path / "authors")
    del values["visual_tokenizer_config"]
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="has no visual_tokenizer_config"):
        read_config(tmp_path / "authors", "original")


def test_presets_that_are_none():
    with pytest.raises(ConfigError, match="'Ovis2-3B' is not a released size; known are Ovis2-1B"):
        Ovis2Config.preset("Ovis2-3B")


def test_names_are_names(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert read_json(tmp_path, "a.json") == {}
    for name in ("../a.json", "./a.json", "/etc/passwd", "a/../a.json", "", ".", ".."):
        with pytest.raises(CheckpointError):
            path_inside(tmp_path, name)


def test_both_conventions_read_the_authors_placeholders():
    assert read_config(GOLDEN, "original").image_token_id == -300
    assert read_config(GOLDEN, "original").visual_indicator_token_ids == [-301, -302, -303, -304, -305]
    assert read_config(GOLDEN, "transformers").image_token_id == 337
    assert len(StreamedWeights(GOLDEN, read_config(GOLDEN))) == 74
