"""What scripts ask of models and outputs, beside what whole scripts show, against transformers' own objects."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import ovis2_ref
from ovis2_ref import TINY, Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.tensors import to_array, to_tensor
from ovis2_ref.errors import CheckpointError, InputError, MissingFeatureError

IDS = np.array([[5, 6, 7]])


@pytest.fixture(scope="module")
def model() -> Ovis2ForConditionalGeneration:
    return Ovis2ForConditionalGeneration.from_pretrained(TINY)


@given(
    st.sampled_from(
        [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]
    ),
    st.lists(st.integers(1, 4), max_size=3),
    st.booleans(),
)
def test_tensors_there_and_back(dtype: torch.dtype, shape: list[int], turned: bool) -> None:
    """Every type and shape, transposed ones and those with gradients too, comes back as the same tensor."""
    tensor = (torch.randn(shape) * 100).to(dtype)
    if turned:
        tensor = tensor.movedim(0, -1) if shape else tensor
        tensor = tensor.requires_grad_() if dtype.is_floating_point else tensor
    array = to_array(tensor)
    assert array.dtype == (ml_dtypes.bfloat16 if dtype == torch.bfloat16 else str(dtype).removeprefix("torch."))
    again = to_tensor(array)
    assert again.dtype == dtype
    assert torch.equal(again, tensor.detach())


def test_outputs_are_dictionaries_and_tuples(model: Any) -> None:
    output = model(input_ids=IDS, return_dict=None, use_cache=None, output_hidden_states=None, labels=None)
    assert "logits" in output
    assert "loss" not in output
    assert list(output) == list(output.keys()) == ["logits", "past_key_values"]
    assert dict(output)["logits"] is output["logits"] is output[0] is output.get("logits") is output.to_tuple()[0]
    assert output.get("attentions", 3) == 3
    assert [name for name, _ in output.items()] == list(output)
    assert output["cache"] is output.cache is output.past_key_values
    with pytest.raises(KeyError):
        output["attentions"]
    with pytest.raises(MissingFeatureError, match="dict"):
        output.update  # noqa: B018
    assert isinstance(model(input_ids=IDS, return_dict=False), tuple)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_ids": "text"}, "input_ids should be an array"),
        ({"input_ids": [[1, 2], [3]]}, "input_ids should be an array"),
        ({"input_ids": IDS, "past_key_values": ((1, 2),)}, "past_key_values"),
        ({"input_ids": IDS, "output_hidden_state": True}, "did you mean output_hidden_states"),
        ({"input_ids": IDS, "mm_encoder_outputs": {"image": 1}}, "give pixel_values"),
    ],
    ids=str,
)
def test_calls_that_are_refused(model: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        model(**arguments)


def test_lists_and_tensors_give_what_arrays_give(model: Any) -> None:
    expected = model(input_ids=IDS).logits
    np.testing.assert_array_equal(model(IDS.tolist()).logits, expected)
    logits = model(torch.from_numpy(IDS)).logits
    assert isinstance(logits, torch.Tensor)
    np.testing.assert_array_equal(logits.numpy(), expected)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, "float32"),
        ({"dtype": "auto"}, "float32"),
        ({"torch_dtype": torch.bfloat16}, "bfloat16"),
        ({"dtype": "torch.float16"}, "float16"),
        ({"dtype": np.float64}, "float64"),
        ({"torch_dtype": "auto", "device_map": {"": "cpu"}, "attn_implementation": "eager"}, "float32"),
    ],
    ids=str,
)
def test_types(options: dict[str, Any], dtype: str) -> None:
    loaded = Ovis2ForConditionalGeneration.from_pretrained(TINY, **options)
    assert loaded.compute_dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    assert (loaded.dtype, loaded.device, loaded.device.type) == (getattr(torch, dtype), "cpu", "cpu")


def test_auto_is_the_files_type(tmp_path: Path) -> None:
    Ovis2ForConditionalGeneration.from_pretrained(TINY).half().save_pretrained(tmp_path)
    assert Ovis2ForConditionalGeneration.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    assert Ovis2ForConditionalGeneration.from_pretrained(tmp_path).dtype == torch.float32


def test_moving(model: Any) -> None:
    loaded = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    assert loaded.eval() is loaded.to("cpu") is loaded.to(torch.device("cpu")) is loaded.cpu() is loaded
    half = loaded.to("cpu", torch.bfloat16)
    assert half is loaded
    assert half(input_ids=IDS).logits.dtype == ml_dtypes.bfloat16
    with pytest.raises(InputError, match="train with transformers"):
        loaded.train()
    with pytest.raises(ovis2_ref.OvisError, match=r"GPU|CuPy|driver"):
        loaded.to("cuda")


def test_weights_by_name(model: Any) -> None:
    """The names, numbers and counts of transformers', for both classes; tensors, since torch is imported here."""
    theirs = transformers.Ovis2ForConditionalGeneration.from_pretrained(TINY)
    for ours, other in ((model, theirs), (model.model, theirs.model)):
        mine, others = ours.state_dict(), other.state_dict()
        assert set(mine) == set(others)
        assert all(torch.equal(mine[name], others[name]) for name in others)
        for excluded in (False, True):
            assert ours.num_parameters(exclude_embeddings=excluded) == other.num_parameters(exclude_embeddings=excluded)
        assert {n for n, _ in ours.named_parameters()} == {n for n, _ in other.named_parameters()}
    assert torch.equal(model.get_input_embeddings().weight, theirs.get_input_embeddings().weight)
    assert torch.equal(model.get_output_embeddings().weight, theirs.get_output_embeddings().weight)
    assert f"{theirs.num_parameters():,} parameters" in repr(model)


def test_a_hub_id_is_looked_up_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of a branch, of a commit, and of no such; HF_HOME, HF_HUB_CACHE, its earlier name, and cache_dir."""
    snapshots = tmp_path / "hub" / "models--someone--Ovis2" / "snapshots"
    (snapshots / "abc123").mkdir(parents=True)
    (snapshots.parent / "refs").mkdir()
    (snapshots.parent / "refs" / "main").write_text("abc123\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    expected = (snapshots / "abc123").resolve()
    assert checkpoint_folder("someone/Ovis2") == checkpoint_folder("someone/Ovis2", revision="abc123") == expected
    assert checkpoint_folder("someone/Ovis2", cache_dir=tmp_path / "hub") == expected
    with monkeypatch.context() as earlier:
        earlier.setenv("HF_HOME", str(tmp_path / "elsewhere"))
        earlier.setenv("HUGGINGFACE_HUB_CACHE", str(tmp_path / "hub"))
        assert checkpoint_folder("someone/Ovis2") == expected
        earlier.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
        with pytest.raises(CheckpointError, match="hf download"):
            checkpoint_folder("someone/Ovis2")
    for name, revision in (("someone/Other", None), ("someone/Ovis2", "v2")):
        with pytest.raises(CheckpointError, match=f"hf download {name}"):
            checkpoint_folder(name, revision=revision)
    for name in ("someone/../Ovis2", "../models--someone--Ovis2", "no-folder"):
        with pytest.raises(CheckpointError, match="there is no checkpoint folder"):
            checkpoint_folder(name)
    with pytest.raises(CheckpointError, match="revision"):
        checkpoint_folder("someone/Ovis2", revision="../../../etc")
    (snapshots.parent / "refs" / "main").write_text("../../..")
    with pytest.raises(CheckpointError, match="hf download"):
        checkpoint_folder("someone/Ovis2")


def test_what_is_missing_says_what_to_do(model: Any) -> None:
    with pytest.raises(MissingFeatureError, match=r"vision_tower .* not here: .*recording"):
        model.vision_tower  # noqa: B018
    with pytest.raises(ImportError, match="call a processor and a model"):
        from ovis2_ref import pipeline  # noqa: F401
    with pytest.raises(InputError, match="from_pretrained"):
        Ovis2ForConditionalGeneration(Ovis2Config.from_pretrained(TINY))
    with pytest.raises(InputError, match="give adapter="):
        Ovis2ForConditionalGeneration.from_pretrained(TINY, adapter_kwargs={"a": 1})
    with pytest.raises(InputError, match="load_in_4bit=True is not supported"):
        Ovis2ForConditionalGeneration.from_pretrained(TINY, load_in_4bit=True)
    assert not hasattr(model, "nothing_of_the_kind")


def test_errors_do_not_quote_whole_pictures() -> None:
    processor = Ovis2Processor.from_pretrained(TINY)
    encoded = "data:image/png;base64," + "A" * 10**6
    with pytest.raises(InputError) as caught:
        processor(images=encoded, text="<image>")
    assert len(str(caught.value)) < 500
    with pytest.raises(InputError) as caught:
        processor(text=encoded, images=[np.zeros((8, 8, 3))] * 2, max_patches=encoded)
    assert len(str(caught.value)) < 500
    with pytest.raises(InputError, match="download the picture"):
        processor(images="https://example.org/cat.png", text="<image>")


def test_a_cache_goes_on_in_generate(model: Any) -> None:
    """A second turn that starts from the first one's cache has the answer that reading everything again gives."""
    picture = np.random.default_rng(0).integers(0, 256, (60, 150, 3), dtype=np.uint8)
    processor = Ovis2Processor.from_pretrained(TINY)
    inputs = processor(images=picture, text="<|im_start|>user\n<image>\nDescribe the image.<|im_end|>\n")
    options = {"max_new_tokens": 6, "eos_token_id": None}
    first = model.generate(**inputs, **options, return_dict_in_generate=True)
    more = np.concatenate([first.sequences, processor(text="<|im_end|>\nHow many?").input_ids], axis=1)
    expected = model.generate(more, pixel_values=inputs.pixel_values, **options)
    cache = first.past_key_values
    assert cache.get_seq_length() == first.sequences.shape[1] - 1
    found = model.generate(more, pixel_values=inputs.pixel_values, past_key_values=cache, **options)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="tokens already"):
        model.generate(more, past_key_values=cache, **options)
    with pytest.raises(InputError, match="one row for each prompt"):
        model.generate(np.tile(more, 2), past_key_values=cache, num_beams=2, **options)
