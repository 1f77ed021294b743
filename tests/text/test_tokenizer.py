"""The tokenizer against transformers' own (Qwen2's), loaded from the same files: ids, masks, texts, bit for bit."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS
from ovis2_ref.text.tokenizer import Tokenizer, check_special_tokens
from tests.text.drawn import ODD_PIECES, texts
from tests.text.reference import V5, reference_tokenizer, saved_reference

pytestmark = pytest.mark.filterwarnings("ignore:`max_length` is ignored")
GOLDEN = Path(__file__).parent.parent / "golden_original" / "checkpoint"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Ours, from the files that transformers saves."""
    return Tokenizer.from_pretrained(saved_reference())


@given(text=texts)
def test_ids_of_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text) == reference_tokenizer()(text)["input_ids"]


@given(data=st.data(), skip=st.booleans())
def test_text_of_any_ids(tokenizer: Tokenizer, data: st.DataObject, skip: bool) -> None:
    ids = data.draw(st.lists(st.integers(0, len(reference_tokenizer()) + 5), max_size=20))
    assert tokenizer.decode(np.array(ids, np.int64), skip_special_tokens=skip) == reference_tokenizer().decode(
        ids, skip_special_tokens=skip
    )


@given(rows=st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=6), min_size=1, max_size=3), skip=st.booleans())
def test_texts_of_rows_of_any_lengths(tokenizer: Tokenizer, rows: list[list[int]], skip: bool) -> None:
    assert tokenizer.batch_decode(rows, skip) == reference_tokenizer().batch_decode(rows, skip_special_tokens=skip)


CHOICES = {
    "padding": [False, True, "max_length"],
    "truncation": [None, False, True],
    "max_length": [None, 1, 4, 20],
    "padding_side": ["left", "right", None],
    "return_tensors": ["np", None],
}
SPELLINGS = [{"padding": "longest"}, {"padding": "do_not_pad"}, *({"truncation": f"{kind}"} for kind in
             ("longest_first", "only_first", "do_not_truncate"))]  # fmt: skip
OPTIONS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
OPTIONS += [{**spelling, "max_length": 4} for spelling in SPELLINGS]


def assert_batches_agree(ours: Tokenizer, theirs: transformers.PreTrainedTokenizerBase, prompts: list[str]) -> None:
    """By every combination of options.

    Where transformers makes an array of lists (of rows of different lengths, which no model takes) we refuse, and nowhere else.
    """
    for options in OPTIONS:
        expected = theirs(prompts, **options)
        if getattr(expected["input_ids"], "dtype", np.int64) != np.int64:
            with pytest.raises(InputError, match="padding=True"):
                ours(prompts, **options)
            continue
        batch = ours(prompts, **options)
        assert list(batch) == ["input_ids", "attention_mask"]
        for name in batch:
            np.testing.assert_equal(batch[name], expected[name], err_msg=f"{name}, {options}")
        if options.get("return_tensors") == "np":
            assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64


@pytest.mark.parametrize("length", [2**25, 10**30, 10**31, 0, True, 2.5, "9"])
def test_lengths_that_are_refused(tokenizer: Tokenizer, length: object) -> None:
    """What would fill the memory with padding; cutting to any length is right."""
    with pytest.raises(InputError, match="max_length"):
        tokenizer(["a"], padding="max_length", max_length=length)
    assert len(tokenizer(["a"], truncation=True, max_length=10**30)["input_ids"][0]) == 1


@settings(max_examples=5)
@given(prompts=st.lists(texts.filter(bool), min_size=1, max_size=3))
def test_batches_cut_and_padded(tokenizer: Tokenizer, prompts: list[str]) -> None:
    assert_batches_agree(tokenizer, reference_tokenizer(), prompts)


def changed(tmp_path: Path, name: str, **values: object) -> Path:
    """Return a copy of the tokenizer files that transformers saved, with other values in one of them."""
    for file in ("tokenizer.json", "tokenizer_config.json"):
        content = json.loads((saved_reference() / file).read_text())
        (tmp_path / file).write_text(json.dumps(content | values if file == name else content))
    return tmp_path


@pytest.mark.parametrize("longest", [6, None])
def test_sides_and_limits_of_the_files(longest: int | None, tmp_path: Path) -> None:
    """What tokenizer_config.json says holds where a call says nothing."""
    sides = {"padding_side": "left", "truncation_side": "left"}
    changed(tmp_path, "tokenizer_config.json", **sides, model_max_length=longest)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert_batches_agree(
        Tokenizer.from_pretrained(tmp_path), theirs, ["How many red circles are there?", "a", "Where?"]
    )


def test_the_unknown_token_of_the_files(tmp_path: Path) -> None:
    changed(tmp_path, "tokenizer_config.json", unk_token="<|im_end|>")
    ours, theirs = Tokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.convert_tokens_to_ids("no such token")
    assert ours.convert_tokens_to_ids("no such token") == expected == ours.eos_token_id


@pytest.mark.skipif(not V5, reason="transformers 4.56 leaves the token as tokenizer.json has it")
def test_a_named_token_is_special(tmp_path: Path) -> None:
    """Also where tokenizer.json doesn't call it so: it is left out of decoded answers."""
    added = json.loads((saved_reference() / "tokenizer.json").read_text())["added_tokens"]
    changed(tmp_path, "tokenizer.json", added_tokens=[token | {"special": False} for token in added])
    ours, theirs = Tokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = ours.encode("a<IMG_COL>b<|im_end|>")
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True) == "ab"


def test_tokens_are_added_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """Numbers, not texts: "999" goes before "1000"."""
    values = json.loads((GOLDEN / "tokenizer.json").read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary |= {f"filler {i}": i for i in range(len(vocabulary), 999)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values | {"added_tokens": []}))
    tokens = {"999": "<|endoftext|>", "1000": "<b>", "1001": "<a>"}
    added = {number: {"content": token, "special": True} for number, token in sorted(tokens.items())}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(list(tokens.values())) == [999, 1000, 1001]


def test_one_text_is_flat_or_a_batch_of_one(tokenizer: Tokenizer) -> None:
    for tensors in (None, "np"):
        expected = reference_tokenizer()("How many?", return_tensors=tensors)
        np.testing.assert_equal(dict(tokenizer("How many?", return_tensors=tensors)), dict(expected))


@pytest.mark.parametrize("token", ["<IMG_ATOM>", "<|endoftext|>", "a", "Ġimage", "<image>", "no such token"])
def test_ids_of_tokens(tokenizer: Tokenizer, token: str) -> None:
    assert tokenizer.convert_tokens_to_ids(token) == reference_tokenizer().convert_tokens_to_ids(token)
    assert tokenizer.convert_tokens_to_ids([token]) == reference_tokenizer().convert_tokens_to_ids([token])


def test_properties(tokenizer: Tokenizer) -> None:
    reference = reference_tokenizer()
    assert len(tokenizer) == len(reference)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (reference.pad_token_id, reference.eos_token_id)


@pytest.mark.parametrize("source", [saved_reference(), GOLDEN], ids=["this transformers", "transformers 4.46"])
def test_what_is_saved_loads_in_transformers_and_here(source: Path, tmp_path: Path) -> None:
    ours = Tokenizer.from_pretrained(source)
    ours.add_special_tokens(["<new>", "<IMG_ATOM>"])
    ours.save_pretrained(tmp_path)
    again, theirs = Tokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.settings == ours.settings
    assert (ours.pad_token_id, ours.eos_token_id) == (theirs.pad_token_id, theirs.eos_token_id)
    assert (theirs.unk_token, theirs.bos_token, len(theirs)) == (None, None, len(ours))
    text = "".join(ODD_PIECES) + "<new>"
    ids = ours.encode(text)
    assert ids == again.encode(text) == theirs(text)["input_ids"]
    assert ours.decode(ids, True) == again.decode(ids, True) == theirs.decode(ids, skip_special_tokens=True)


def test_added_tokens_follow_the_others() -> None:
    """As transformers adds them to the authors' tokenizer when their checkpoint is converted."""
    ours, theirs = Tokenizer.from_pretrained(GOLDEN), transformers.AutoTokenizer.from_pretrained(GOLDEN)
    names = [IMAGE_ATOM, *INDICATORS]
    ours.add_special_tokens(names)
    theirs.add_tokens(names, special_tokens=True)
    assert ours.convert_tokens_to_ids(names) == theirs.convert_tokens_to_ids(names)


@pytest.mark.parametrize("text", [None, 5, b"bytes", ["nested"], [], "half a pair \ud800"])
def test_what_is_no_text_is_refused(tokenizer: Tokenizer, text: object) -> None:
    with pytest.raises(InputError):
        tokenizer([text])
    if text != ["nested"]:
        with pytest.raises(InputError):
            tokenizer(text)


@pytest.mark.parametrize("ids", [[-300, 5], [2**40], [1.5], ["a"], [[1, 2], [3, 4]], [[1], [2, 3]]])
def test_what_are_no_ids_is_refused(tokenizer: Tokenizer, ids: list) -> None:
    with pytest.raises(InputError):
        tokenizer.decode(ids)


@pytest.mark.parametrize(
    "options", [{"padding": "longst"}, {"truncation": "last"}, {"max_length": 0}, {"return_tensors": "tf"}]
)
def test_unknown_options_are_refused(tokenizer: Tokenizer, options: dict) -> None:
    with pytest.raises(InputError, match=str(next(iter(options.values())))):
        tokenizer("a", **options)


def test_padding_needs_a_padding_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(saved_reference())
    tokenizer.settings.pad_token = None
    with pytest.raises(InputError, match="pad_token"):
        tokenizer(["a", "b c"], padding=True)


def small_config(first: int, vocabulary: int) -> Ovis2Config:
    text = Qwen2Config(
        vocab_size=vocabulary, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1
    )
    ids = list(range(first, first + 6))
    return Ovis2Config(Ovis2VisionConfig(), text, ids[0], ids[1:], vocabulary, 4)


def test_special_tokens_have_to_agree_with_the_config(tokenizer: Tokenizer) -> None:
    first = tokenizer.convert_tokens_to_ids(IMAGE_ATOM)
    check_special_tokens(tokenizer, small_config(first, len(tokenizer)))
    with pytest.raises(CheckpointError, match=rf"<IMG_ATOM> is {first}, the config has {first + 1}.*<IMG_END>"):
        check_special_tokens(tokenizer, small_config(first + 1, len(tokenizer)))
    with pytest.raises(CheckpointError, match=f"{len(tokenizer)} tokens"):
        check_special_tokens(tokenizer, small_config(first, len(tokenizer) - 1))
    with pytest.raises(CheckpointError, match="<IMG_GRID> is missing"):
        check_special_tokens(Tokenizer.from_pretrained(GOLDEN), small_config(first, len(tokenizer)))


def test_a_config_file_that_moves_a_token_is_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((GOLDEN / name).read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["400"] = config["added_tokens_decoder"].pop("336")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"<\|im_start\|>"):
        Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("added", ["tokenizer_config.json", "added_tokens.json"])
def test_a_vocabulary_and_merges_alone(tmp_path: Path, added: str) -> None:
    """Qwen2's first form, vocab.json with merges.txt: the ids of tokenizer.json, and those of transformers."""
    values = json.loads((GOLDEN / "tokenizer.json").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps(values["model"]["vocab"]))
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in values["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    settings = json.loads((GOLDEN / "tokenizer_config.json").read_text())
    if added == "added_tokens.json":
        entries = settings.pop("added_tokens_decoder")
        (tmp_path / added).write_text(json.dumps({entry["content"]: int(i) for i, entry in entries.items()}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    ours, expected = Tokenizer.from_pretrained(tmp_path), Tokenizer.from_pretrained(GOLDEN)
    theirs = transformers.Qwen2TokenizerFast.from_pretrained(tmp_path)
    for text in ("Describe the image.\n<|im_end|> 1234 it's", "\u00e9e\u0301 \U0001f98a\n\n x", ""):
        assert ours.encode(text) == expected.encode(text) == theirs(text)["input_ids"]
        assert ours.decode(ours.encode(text)) == expected.decode(expected.encode(text))
    ours.save_pretrained(tmp_path / "saved")
    assert Tokenizer.from_pretrained(tmp_path / "saved").encode("the image") == expected.encode("the image")
    for content, words in (("a b c\n", "two tokens in each line"), ("#version: 0.2\nzz zz\n", "can't be loaded")):
        (tmp_path / "merges.txt").write_text(content)
        with pytest.raises(CheckpointError, match=words):
            Tokenizer.from_pretrained(tmp_path)
