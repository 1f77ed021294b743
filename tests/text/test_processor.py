"""The processor against transformers' `Ovis2Processor`: every array that it returns, and the files that it reads and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.text.chat import CHAT_TEMPLATE
from ovis2_ref.text.layout import IMAGE_ATOM, ORIGINAL_IDS
from ovis2_ref.text.processor import Ovis2Processor
from tests.text.drawn import messages, plain_texts
from tests.text.reference import SIDE, TOKENS_PER_TILE, V5, reference_processor, saved_reference

GOLDEN = Path(__file__).parent.parent / "golden_original" / "checkpoint"


@pytest.fixture(scope="module")
def processor() -> Ovis2Processor:
    """Ours, from the files that transformers saves."""
    return Ovis2Processor.from_pretrained(saved_reference())


def picture(seed: int) -> Image.Image:
    """Noise of a size that is cut into one to several tiles."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 4 * SIDE, 2)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def assert_equal(ours: dict, theirs: dict) -> None:
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


prompts = st.lists(st.lists(plain_texts, min_size=1, max_size=3).map("<image>".join), min_size=1, max_size=3)


@given(prompts=prompts, seed=st.integers(0, 2**32 - 1), side=st.sampled_from(["left", "right"]), nested=st.booleans())
def test_batches_of_prompts_with_pictures(
    processor: Ovis2Processor, prompts: list[str], seed: int, side: str, nested: bool
) -> None:
    """None, one or several pictures to a prompt, prompts padded on either side, pictures flat or in a list to a prompt."""
    prompts = [f"{prompt}." for prompt in prompts]
    pictures = [[picture(seed + 10 * i + j) for j in range(text.count("<image>"))] for i, text in enumerate(prompts)]
    flat = [one for row in pictures for one in row]
    images = (pictures if nested and all(pictures) else flat) or None
    options = {"padding": True, "padding_side": side, "return_tensors": "np"}
    ours = processor(images=images, text=prompts, **options)
    theirs = reference_processor()(images=images, text=prompts, **options)
    assert_equal(ours, dict(theirs))


@given(message=messages, seed=st.integers(0, 2**32 - 1))
def test_a_chat_with_its_pictures(processor: Ovis2Processor, message: dict, seed: int) -> None:
    """From a conversation whose parts carry the pictures to all inputs in one call."""
    if isinstance(message["content"], str):  # 4.56 looks for pictures in the letters of a text
        message = message | {"content": [{"type": "text", "text": message["content"]}]}
    else:
        parts = [part for part in message["content"] if part["type"] != "video"]
        pictures = ({"type": "image", "image": picture(seed + i)} for i in range(9))
        message = message | {"content": [next(pictures) if part["type"] == "image" else part for part in parts]}
    options = {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
    ours = processor.apply_chat_template([message], **options, return_tensors="np")
    theirs = reference_processor().apply_chat_template([message], **options, return_tensors="np")
    assert_equal(ours, dict(theirs))
    ids = processor.apply_chat_template([[message]], tokenize=True, add_generation_prompt=True)
    np.testing.assert_array_equal(ids, theirs["input_ids"])


def test_several_conversations(processor: Ovis2Processor) -> None:
    chats = [[{"role": "user", "content": text}] for text in ("How many?", "<image>\nWhere?")]
    assert processor.apply_chat_template(chats) == reference_processor().apply_chat_template(chats)


@given(rows=st.lists(st.lists(st.integers(0, 410), min_size=1, max_size=5), min_size=1, max_size=3), skip=st.booleans())
def test_decoding(processor: Ovis2Processor, rows: list[list[int]], skip: bool) -> None:
    expected = reference_processor().batch_decode(rows, skip_special_tokens=skip)
    assert processor.batch_decode(rows, skip_special_tokens=skip) == expected
    assert [processor.decode(np.array(row), skip_special_tokens=skip) for row in rows] == expected


@pytest.mark.skipif(not V5, reason="transformers 4.56 passes no options on to its image processor")
@given(seed=st.integers(0, 2**32 - 1), max_patches=st.integers(1, 6))
def test_options_of_the_image_processor(processor: Ovis2Processor, seed: int, max_patches: int) -> None:
    arguments = {"images": picture(seed), "text": "<image>", "max_patches": max_patches, "return_tensors": "np"}
    assert_equal(processor(**arguments), dict(reference_processor()(**arguments)))


def test_inputs_are_attributes_too(processor: Ovis2Processor) -> None:
    inputs = processor(images=picture(1), text="<image>")
    assert inputs.input_ids is inputs["input_ids"]
    with pytest.raises(AttributeError, match="they hold input_ids, attention_mask, pixel_values"):
        inputs.grids  # noqa: B018


def test_pictures_alone(processor: Ovis2Processor) -> None:
    inputs = processor(images=[picture(1), picture(2)])
    assert list(inputs) == ["pixel_values"]
    both = processor(images=[picture(1), picture(2)], text="<image><image>")
    np.testing.assert_array_equal(inputs.pixel_values, both.pixel_values)


def test_a_picture_by_its_name(processor: Ovis2Processor, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "picture.png")
    parts = [{"type": "image", "path": str(tmp_path / "picture.png")}]
    inputs = processor.apply_chat_template([{"role": "user", "content": parts}], tokenize=True, return_dict=True)
    np.testing.assert_array_equal(inputs.pixel_values, processor(images=picture(1)).pixel_values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give text"),
        ({"images": []}, "give text"),
        ({"text": 5}, "a prompt or a list of prompts"),
        ({"text": []}, "a prompt or a list of prompts"),
        ({"text": [["nested"]]}, "a prompt or a list of prompts"),
        ({"text": "<image>"}, "1 <image> in the text and 0 pictures"),
        ({"text": "none", "images": [picture(1)]}, "0 <image> in the text and 1 pictures"),
        ({"text": ["<image>", "<image>"], "images": [picture(1)]}, "2 <image> in the text and 1 pictures"),
        ({"text": ["one", "and another"]}, "padding=True"),
        ({"text": "a", "return_tensors": "tf"}, 'should be "np"'),
        ({"text": "a", "paddding": True}, "did you mean padding"),
        ({"text": "a", "max_patch": 3}, "did you mean max_patches"),
        ({"text": "a", "max_patches": 0}, "max_patches=0"),
        ({"text": "a", "videos": [1]}, "frames of a clip as images"),
        ({"text": "a", "padding": True, "text_kwargs": {"padding": False}}, "give it once"),
        ({"text": "a", "text_kwargs": {"max_patches": 3}}, "text_kwargs has no argument"),
        ({"text": "a", "max_length": 2.5}, "whole number"),
        ({"text": "<image>", "images": picture(1), "max_length": 5, "truncation": True}, "raise max_length"),
    ],
)
def test_calls_that_are_refused(processor: Ovis2Processor, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        processor(**arguments)


def test_another_template_is_refused(processor: Ovis2Processor) -> None:
    with pytest.raises(InputError, match="not Ovis2's own"):
        processor.apply_chat_template([{"role": "user", "content": "a"}], chat_template="{{ messages }}")
    with pytest.raises(InputError, match="not Ovis2's own"):
        Ovis2Processor(processor.image_processor, processor.tokenizer, chat_template="{{ messages }}")


def test_what_is_saved_loads_in_transformers_and_here(processor: Ovis2Processor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    ours, theirs = Ovis2Processor.from_pretrained(tmp_path), transformers.Ovis2Processor.from_pretrained(tmp_path)
    arguments = {"images": [picture(3), picture(4)], "text": "<image>a<image>b", "return_tensors": "np"}
    assert_equal(processor(**arguments), ours(**arguments))
    theirs.image_processor = getattr(transformers, "Ovis2ImageProcessorPil", transformers.Ovis2ImageProcessor)(
        **{key: getattr(theirs.image_processor, key) for key in ("size", "crop_to_patches", "max_patches")}
    )
    assert_equal(processor(**arguments), dict(theirs(**arguments)))
    chat = [{"role": "user", "content": "a"}]
    assert theirs.apply_chat_template(chat) == ours.apply_chat_template(chat)
    assert theirs.image_seq_length == ours.image_seq_length == TOKENS_PER_TILE


def changed(tmp_path: Path, name: str, **values: object) -> Path:
    """Return a copy of the saved files with other values in one of them."""
    for path in saved_reference().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if name.endswith(".jinja"):
        (tmp_path / name).write_text(str(values["text"]))
        return tmp_path
    old = json.loads((tmp_path / name).read_text()) if (tmp_path / name).exists() else {}
    (tmp_path / name).write_text(json.dumps(old | values))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("chat_template.jinja", {"text": "{{ 7 * 7 }}"}, "chat_template.jinja: this chat template is not Ovis2's own"),
        ("chat_template.json", {"chat_template": "{{ 7 * 7 }}"}, "chat_template.json: this chat template"),
        ("processor_config.json", {"image_seq_length": "many"}, "image_seq_length='many'"),
        ("processor_config.json", {"image_seq_length": 0}, "image_seq_length=0"),
        ("processor_config.json", {"image_processor": []}, "should be an object"),
        ("processor_config.json", {"image_processor": {"size": -1}}, "the image processor's settings can't be used"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, values: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Ovis2Processor.from_pretrained(changed(tmp_path, name, **values))


CHAT = [{"role": "user", "content": "a"}]
PIRATE = CHAT_TEMPLATE.replace("helpful assistant", "pirate")


@pytest.mark.parametrize(
    ("files", "system"),
    [
        ({"tokenizer_config.json": {"chat_template": "{{ 7 }}"}}, "helpful assistant"),
        (
            {"chat_template.json": {"chat_template": PIRATE}, "tokenizer_config.json": {"chat_template": "{{ 7 }}"}},
            "pirate",
        ),
        (
            {"chat_template.json": {"chat_template": "{{ 7 }}"}, "processor_config.json": {"chat_template": PIRATE}},
            "pirate",
        ),
        ({"chat_template.jinja": {"text": PIRATE.replace("\n", "\r\n")}}, "pirate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_the_template_that_wins(tmp_path: Path, files: dict, system: str) -> None:
    """Of several templates the one that transformers takes counts; saved, it is the same."""
    for name, values in files.items():
        changed(tmp_path, name, **values)
    ours = Ovis2Processor.from_pretrained(tmp_path)
    prompt = ours.apply_chat_template(CHAT)
    assert f"You are a {system}.<|im_end|>" in prompt
    assert ours.tokenizer.apply_chat_template(CHAT, tokenize=False) == prompt
    if V5:
        assert transformers.AutoProcessor.from_pretrained(tmp_path).apply_chat_template(CHAT) == prompt
    ours.save_pretrained(tmp_path / "saved")
    assert Ovis2Processor.from_pretrained(tmp_path / "saved").apply_chat_template(CHAT) == prompt


def test_the_tokenizers_template_where_it_is_the_only_one(tmp_path: Path) -> None:
    changed(tmp_path, "tokenizer_config.json", chat_template=[{"name": "x"}])
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json: this chat template"):
        Ovis2Processor.from_pretrained(tmp_path)


def config_values(processor: Ovis2Processor, **values: object) -> dict:
    ids = processor.tokenizer.convert_tokens_to_ids(
        ["<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    )
    vision = {"image_size": SIDE, "patch_size": SIDE, "hidden_stride": 1, "vocab_size": 64, "hidden_size": 8}
    text = {
        "hidden_size": 8,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "vocab_size": 512,
        "num_hidden_layers": 1,
    }
    return {
        "model_type": "ovis2",
        "vision_config": vision,
        "text_config": text,
        "hidden_size": 8,
        "image_token_id": ids[0],
        "visual_indicator_token_ids": ids[1:],
    } | values


def test_the_model_has_to_fit(processor: Ovis2Processor, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"image_seq_length=3, the model of config.json makes 1 visual tokens"):
        Ovis2Processor.from_pretrained(changed(tmp_path, "config.json", **config_values(processor)))
    changed(tmp_path, "processor_config.json", image_seq_length=1)
    (tmp_path / "config.json").write_text(json.dumps(config_values(processor)))
    assert Ovis2Processor.from_pretrained(tmp_path).image_seq_length == 1
    (tmp_path / "config.json").write_text(json.dumps(config_values(processor, image_token_id=7)))
    with pytest.raises(CheckpointError, match=r"<IMG_ATOM> is .* the config has 7"):
        Ovis2Processor.from_pretrained(tmp_path)
    Ovis2Processor.from_pretrained(tmp_path, convention="original")


def test_the_authors_files_under_both_conventions() -> None:
    """The layout is the same; ids outside the vocabulary under one, special tokens added to it under the other."""
    original = Ovis2Processor.from_pretrained(GOLDEN, convention="original")
    ours = Ovis2Processor.from_pretrained(GOLDEN)
    assert original.image_seq_length == ours.image_seq_length == 4
    tile = picture(1).resize((56, 56))
    chat = original.apply_chat_template([{"role": "user", "content": "<image>\nHow?"}], add_generation_prompt=True)
    negative, positive = original(tile, chat).input_ids, ours(tile, chat).input_ids
    names = {token_id: name for name, token_id in ORIGINAL_IDS.items()}
    spelled = [ours.tokenizer.convert_tokens_to_ids(names[i]) if i < 0 else i for i in negative[0].tolist()]
    assert spelled == positive[0].tolist()
    assert original.decode(negative[0]) == chat.replace("<image>", "")


def test_the_authors_inputs_from_picture_and_prompt() -> None:
    """The ids that the authors' code made of picture and prompt; theirs has one atom for a tile, ours as many as it embeds."""
    golden, folder = load_file(GOLDEN.parent / "golden.safetensors"), GOLDEN.parent
    original = Ovis2Processor.from_pretrained(GOLDEN, convention="original")
    for case in json.loads((folder / "cases.json").read_text()):
        inputs = original(Image.open(folder / case["image"]), case["prompt"])
        theirs = golden[f"{case['case']}.token_ids"]
        atoms = np.where(theirs == ORIGINAL_IDS[IMAGE_ATOM], original.image_seq_length, 1)
        np.testing.assert_array_equal(inputs.input_ids[0], np.repeat(theirs, atoms))
        assert len(inputs.pixel_values) == case["tiles"]
        assert inputs.attention_mask.all()


def test_the_authors_mask_leaves_out_padding_tokens_in_the_text() -> None:
    original = Ovis2Processor.from_pretrained(GOLDEN, convention="original")
    inputs = original(text=["a<|endoftext|>a", "a"], padding=True, padding_side="left")
    np.testing.assert_array_equal(inputs.attention_mask, [[1, 0, 1], [0, 0, 1]])
