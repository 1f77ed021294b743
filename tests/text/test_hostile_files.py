"""Tokenizer files with something wrong in them: each loads and works, or is refused with our own error; nothing else happens.

The files start from real ones; what is put in is drawn: other JSON anywhere in them, bytes cut off or changed, nesting, sizes.
"""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.errors import CheckpointError
from ovis2_ref.text.tokenizer import Tokenizer
from ovis2_ref.text.tokenizer_files import TOKENIZER_LIMIT, load_tokenizer

GOLDEN = Path(__file__).parent.parent / "golden_original" / "checkpoint"
FILES = {name: json.loads((GOLDEN / name).read_text()) for name in ("tokenizer.json", "tokenizer_config.json")}

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 1, 2**31, 2**32, 2**64, 10**30, -0.5, 1e308]),
        st.sampled_from(["", "BPE", "Unigram", "(a+)+$", "((", "<IMG_ATOM>", "\ud7ff", "a" * 1000]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["type", "content", "id", "5"]), inner)
    ),
    max_leaves=4,
)


@st.composite
def corrupted(draw: st.DrawFn, values: Any) -> Any:
    """The JSON `values` with something else, nothing, or a neighbour's value at a place that is drawn."""
    values = copy.deepcopy(values)
    place, steps = values, draw(st.integers(0, 4))
    for _ in range(steps + 1):
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list):
            break
        parent, place = place, place[key]
    else:
        place = parent
    what = draw(st.sampled_from(["other", "other", "gone", "neighbour"]))
    if what == "gone":
        del place[key]
    else:
        others = list(place.values()) if isinstance(place, dict) else place
        place[key] = draw(json_values if what == "other" else st.sampled_from(others))
    return values


def load(folder: Path, files: dict[str, bytes]) -> None:
    """Load the tokenizer; if it loads, use it."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        tokenizer = Tokenizer.from_pretrained(folder)
    except CheckpointError:
        return
    ids = tokenizer("Describe the image. <|im_end|>e\u0301", padding=False, return_tensors="np").input_ids
    tokenizer.decode(ids[0], skip_special_tokens=True)


@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_other_values_anywhere(data: st.DataObject, name: str) -> None:
    values = FILES | {name: data.draw(corrupted(FILES[name]))}
    with tempfile.TemporaryDirectory() as folder:
        load(Path(folder), {name: json.dumps(value).encode() for name, value in values.items()})


@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_other_bytes_anywhere(data: st.DataObject, name: str) -> None:
    files = {name: json.dumps(value).encode() for name, value in FILES.items()}
    content = bytearray(files[name])
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    end = data.draw(st.sampled_from([None, start]))
    with tempfile.TemporaryDirectory() as folder:
        load(Path(folder), files | {name: bytes(content[:end])})


PROGRAMS: list[tuple[str, Any]] = [
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
    ("normalizer", None),
    ("pre_tokenizer", {"type": "Whitespace"}),
    ("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}]}),
    ("decoder", {"type": "Fuse"}),
    ("model", {"type": "Unigram", "vocab": [], "unk_id": 5}),
    ("model", {**FILES["tokenizer.json"]["model"], "dropout": 0.5}),
    ("model", {**FILES["tokenizer.json"]["model"], "byte_fallback": True}),
    ("model", None),
]
"""Stages that panic in the library, never end, draw lots, or make other tokens than Qwen2's."""


@pytest.mark.parametrize(("stage", "value"), PROGRAMS, ids=lambda part: str(part)[:30])
def test_other_programs_are_refused_by_name(stage: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(FILES["tokenizer.json"] | {stage: value}))
    with pytest.raises(CheckpointError, match=rf"its {stage}(\.\w+)? is not Qwen2's|has no {stage}"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_panic_in_the_library_is_a_refusal() -> None:
    """A second check: such a file is normally refused earlier. (The library prints the panic, too.)"""
    text = json.dumps(FILES["tokenizer.json"] | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}})
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_tokenizer(text, "tokenizer.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 10**5,
        b'{"a":' * 10**5,
        b"null",
        b'{"model": ' + b"9" * 10**5 + b"}",
        b"\xff\xfe",
        b'{"model": {}, "model": {}}',
    ],
    ids=["empty", "nested lists", "nested objects", "null", "a long number", "no UTF-8", "a key twice"],
)
@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_no_json_object_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    for other, values in FILES.items():
        (tmp_path / other).write_bytes(content if other == name else json.dumps(values).encode())
    with pytest.raises(CheckpointError, match=name):
        Tokenizer.from_pretrained(tmp_path)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(TOKENIZER_LIMIT + 1)
    with pytest.raises(CheckpointError, match=f"{TOKENIZER_LIMIT + 1} bytes"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").symlink_to(GOLDEN / "tokenizer.json")
    with pytest.raises(CheckpointError, match="link out of the folder"):
        Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eos_token": 5}, "eos_token"),
        ({"eos_token": ""}, "eos_token"),
        ({"pad_token": {"content": []}}, "pad_token"),
        ({"additional_special_tokens": "x"}, "extra special tokens"),
        ({"additional_special_tokens": [None]}, "extra special token"),
        ({"padding_side": "middle"}, "padding_side"),
        ({"model_max_length": "long"}, "model_max_length"),
        ({"model_max_length": float("nan")}, "model_max_length"),
        ({"add_bos_token": True}, "add_bos_token"),
        ({"add_prefix_space": True}, "add_prefix_space"),
        ({"added_tokens_decoder": ["x"]}, "object of tokens by id"),
        ({"added_tokens_decoder": {"x": {"content": "x"}}}, "'x' is no id"),
        ({"added_tokens_decoder": {"336": {"content": "<|im_start|>", "special": "yes"}}}, "neither true nor false"),
    ],
    ids=str,
)
def test_settings_of_another_kind_are_refused(values: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((GOLDEN / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(FILES["tokenizer_config.json"] | values))
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_pretrained(tmp_path)
