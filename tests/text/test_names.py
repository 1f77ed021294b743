"""What scripts ask of processors and tokenizers by name, against transformers' own objects of the same files."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st

from ovis2_ref import TINY, Ovis2ImageProcessor, Ovis2Processor
from ovis2_ref.errors import InputError
from ovis2_ref.text.tokenizer import Tokenizer
from tests.text.reference import V5

TEXTS = ["Describe it.", "How many red <image> ones?", "<|im_start|>a", "déjà vu", "\n"]


@cache
def pair() -> tuple[Ovis2Processor, Any]:
    """Our processor and transformers', from the tiny checkpoint."""
    return Ovis2Processor.from_pretrained(TINY), transformers.AutoProcessor.from_pretrained(TINY)


def fresh() -> tuple[Tokenizer, Any]:
    """Tokenizers of the same files that a test may change."""
    return Tokenizer.from_pretrained(TINY), transformers.AutoTokenizer.from_pretrained(TINY)


def plain(values: Any) -> Any:
    """Arrays and tensors as lists."""
    if hasattr(values, "items"):
        return {name: plain(value) for name, value in values.items()}
    return values.tolist() if hasattr(values, "tolist") else values


def cut_beside_a_multiple(options: dict[str, Any]) -> bool:
    """Return True for a length of truncation that isn't a multiple of what is padded to, which transformers refuses."""
    multiple = options.get("pad_to_multiple_of")
    cut = options.get("truncation") or not options.get("padding")
    return bool(multiple and cut and options.get("max_length", 1024) % multiple)


OPTIONS = {
    "padding": st.sampled_from([True, False, "longest", "max_length"]),
    "truncation": st.booleans(),
    "max_length": st.sampled_from([2, 7, 40, np.int64(9)]),
    "padding_side": st.sampled_from(["left", "right"]),
    "pad_to_multiple_of": st.sampled_from([None, 4, 8]),
    "return_attention_mask": st.sampled_from([None, True, False]),
    "return_token_type_ids": st.booleans(),
    "return_special_tokens_mask": st.booleans(),
    "return_offsets_mapping": st.booleans(),
    "return_length": st.booleans(),
    "add_special_tokens": st.booleans(),
}


@given(
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3) | st.sampled_from(TEXTS),
    st.fixed_dictionaries({}, optional=OPTIONS),
)
def test_call(texts: Any, options: dict[str, Any]) -> None:
    """Every key and every number of a tokenizer's call, in transformers' order."""
    assume(not cut_beside_a_multiple(options))
    ours, theirs = (processor.tokenizer(texts, **options) for processor in pair())
    assert plain(ours) == plain(theirs)
    assert list(ours) == list(theirs)


@pytest.mark.skipif(not V5, reason="transformers 4.56 passes a processor's options on in other ways")
@given(
    st.lists(st.sampled_from(TEXTS[:1] + TEXTS[2:]), min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional=OPTIONS),
    st.booleans(),
)
def test_processor_options(texts: list[str], options: dict[str, Any], nested: bool) -> None:
    """The same options of a processor's call, flat or in text_kwargs."""
    assume(not cut_beside_a_multiple(options))
    options = {**options, "return_tensors": None}
    arguments = {"text_kwargs": options, "return_tensors": None} if nested else options
    if nested:
        options.pop("return_tensors")
    ours, theirs = (processor(text=texts, **arguments) for processor in pair())
    assert plain(ours) == plain(theirs)


def test_attributes() -> None:
    ours, theirs = pair()
    for name in (
        "vocab_size", "model_max_length", "padding_side", "truncation_side", "eos_token", "pad_token", "bos_token", "unk_token",
        "eos_token_id", "pad_token_id", "bos_token_id", "unk_token_id", "all_special_tokens", "all_special_ids",
        "special_tokens_map", "is_fast", "vocab", "added_tokens_encoder",
    ):  # fmt: skip
        assert getattr(ours.tokenizer, name) == getattr(theirs.tokenizer, name), name
    assert ours.tokenizer.get_vocab() == theirs.tokenizer.get_vocab()
    assert len(ours.tokenizer) == len(theirs.tokenizer)
    for text in TEXTS:
        assert ours.tokenizer.tokenize(text) == theirs.tokenizer.tokenize(text)
        tokens = ours.tokenizer.convert_ids_to_tokens(ours.tokenizer.encode(text))
        assert tokens == theirs.tokenizer.convert_ids_to_tokens(theirs.tokenizer.encode(text))
        assert ours.tokenizer.convert_tokens_to_string(tokens) == theirs.tokenizer.convert_tokens_to_string(tokens)
    for name in ("image_token", "image_token_id", "image_seq_length"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if V5:  # 4.56 names the ids first
        assert list(ours.model_input_names) == list(theirs.model_input_names)
    ids = [[5, 6, 502], [7, 503, 503]]
    assert ours.post_process_image_text_to_text(ids) == theirs.post_process_image_text_to_text(ids)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("padding_side", "left"),
        ("truncation_side", "left"),
        ("model_max_length", 3),
        ("pad_token", "<image>"),
        ("pad_token_id", 4),
        ("eos_token", "<|im_start|>"),
        ("pad_token", "<new>"),
    ],
)
def test_a_setting_that_is_set_counts(name: str, value: Any) -> None:
    """What can be set changes what the call returns, as it does there."""
    ours, theirs = fresh()
    for tokenizer in (ours, theirs):
        setattr(tokenizer, name, value)
    if value == "<new>":
        theirs.add_special_tokens({"pad_token": value})
    assert getattr(ours, name) == getattr(theirs, name) == value
    texts = ["Describe it.", "How many red ones are there?"]
    for options in ({"padding": True}, {"padding": True, "truncation": True}):
        assert plain(ours(texts, **options)) == plain(theirs(texts, **options))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("padding_side", "middle"),
        ("truncation_side", None),
        ("model_max_length", 0),
        ("pad_token", 5),
        ("pad_token_id", 10**6),
    ],
)
def test_a_setting_that_is_no_use_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name.removesuffix("_id")):
        setattr(fresh()[0], name, value)


def test_another_template_is_refused() -> None:
    for owner in (Ovis2Processor.from_pretrained(TINY), fresh()[0]):
        owner.chat_template = owner.chat_template
        with pytest.raises(InputError, match="not Ovis2's own"):
            owner.chat_template = "{{ 7 * 7 }}"


def test_new_special_tokens() -> None:
    ours, theirs = fresh()
    for tokens in (
        {"pad_token": "<pad>"},
        {"extra_special_tokens" if V5 else "additional_special_tokens": ["<x>", "<y>"]},
    ):
        assert ours.add_special_tokens(tokens) == theirs.add_special_tokens(tokens)
    assert ours.pad_token_id == theirs.pad_token_id == 512
    assert ours.encode("a<y><pad>") == theirs.encode("a<y><pad>")
    assert ours.add_tokens(["foo"]) == theirs.add_tokens(["foo"]) == 1


def test_rows_tokenised_apart_are_padded() -> None:
    rows = [{"input_ids": [5, 6]}, {"input_ids": [7]}]
    for given_rows in (rows, {"input_ids": [[5, 6], [7]]}):
        ours, theirs = (t.pad(given_rows, return_tensors="pt", padding_side="left") for t in fresh())
        assert plain(ours) == plain(theirs)
        assert isinstance(ours["input_ids"], torch.Tensor)


def test_tensors_where_asked_for() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    arguments = {"images": image, "text": ["a<image>", "b c d"], "padding": True, "return_tensors": "pt"}
    ours, theirs = (processor(**arguments) for processor in pair())
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
    moved = ours.to("cpu", torch.bfloat16)
    assert moved is ours
    assert (ours.pixel_values.dtype, ours.input_ids.dtype) == (torch.bfloat16, torch.int64)
    alone = pair()[0].image_processor(torch.from_numpy(image), return_tensors="pt")
    assert torch.equal(alone.pixel_values, theirs.pixel_values)
    assert alone.grids.dtype == torch.int64
    text = pair()[0].decode(theirs.input_ids[0])
    assert text == pair()[1].decode(theirs.input_ids[0])
    assert pair()[0].batch_decode(list(theirs.input_ids)) == pair()[1].batch_decode(list(theirs.input_ids))


def test_inputs_without_torch_tensors() -> None:
    inputs = pair()[0](text="a b", return_tensors="np").to("cuda", dtype=np.float16)
    assert inputs.input_ids.dtype == np.int64
    lists = pair()[0](text=["a", "b"], return_tensors=None)
    assert lists.input_ids == [[64], [65]]
    assert lists.convert_to_tensors("np").input_ids.shape == (2, 1)


@pytest.mark.skipif(not V5, reason="transformers 4.56 gives other values: its files and defaults differ")
def test_an_image_processor_of_its_own(tmp_path) -> None:
    """Loaded, changed, saved and loaded by transformers."""
    ours = Ovis2ImageProcessor.from_pretrained(TINY, max_patches=3, resample="bilinear", use_fast=False)
    assert (ours.max_patches, ours.resample, ours.size) == (3, 2, {"height": 64, "width": 64})
    ours.save_pretrained(tmp_path)
    theirs = getattr(transformers, "Ovis2ImageProcessorPil", transformers.Ovis2ImageProcessor).from_pretrained(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (40, 190, 3), dtype=np.uint8)
    expected = theirs(image, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(ours(image, return_tensors="np").pixel_values, expected)


def test_overrides_of_from_pretrained() -> None:
    processor = Ovis2Processor.from_pretrained(
        TINY, padding_side="left", max_patches=2, use_fast=False, trust_remote_code=True
    )
    assert (processor.tokenizer.padding_side, processor.image_processor.max_patches) == ("left", 2)
    with pytest.raises(InputError, match="did you mean padding_side"):
        Ovis2Processor.from_pretrained(TINY, paddingside="left")
    with pytest.raises(InputError, match="force_download"):
        Ovis2Processor.from_pretrained(TINY, force_download=True)
