"""Read the tokenizer files that transformers 4.56 and 5.x write, without running anything in them, and write them for both.

tokenizer.json is a program for the `tokenizers` library (patterns, normalisers, templates). Ovis2's is Qwen2's; any other is
refused before the library reads it. So both versions of transformers give the same ids: 4.56 runs the file, 5.x takes only its
vocabulary and builds the rest itself.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovis2_ref.errors import CheckpointError, OvisError
from ovis2_ref.files.checks import is_whole, shown
from ovis2_ref.files.reading import has_file, parse_json, read_bounded, read_json
from ovis2_ref.files.writing import write_text
from ovis2_ref.text.batch import NO_LIMIT

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_LIMIT = 2**25
"""Bytes of a tokenizer.json at most: three times the size of Qwen2.5's. Reading the worst JSON takes 24 times its size."""
TOKEN_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
MOST_IDS = 2**20
"""Ids are below this, six times the size of Qwen2.5's vocabulary: the library takes memory for every id up to the largest."""

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern by which Qwen2 cuts a text into words: contractions, letters, single digits, punctuation, line breaks, other
white space.
"""

QWEN2_PROGRAM: dict[str, tuple[Any, ...]] = {
    "normalizer": ({"type": "NFC"},),
    "pre_tokenizer": (
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        },
    ),
    "post_processor": (
        {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]},  # the text, and nothing more
        {"type": "ByteLevel"},
        None,
    ),
    "decoder": ({"type": "ByteLevel"},),
}
"""Qwen2's values for each stage of tokenizer.json but the model; keys that are not named change neither ids nor texts."""

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
"""Bytes as characters, with all settings of that stage."""

QWEN2_MODEL: dict[str, tuple[Any, ...]] = {
    "type": ("BPE",),
    "dropout": (None, 0.0),
    "unk_token": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}


@dataclass
class TokenizerSettings:
    """The settings beside the vocabulary, with the defaults of transformers' `Qwen2Tokenizer`."""

    unk_token: str | None = "<|endoftext|>"
    bos_token: str | None = None
    eos_token: str | None = "<|endoftext|>"
    pad_token: str | None = "<|endoftext|>"
    extra_special_tokens: list[str] = field(default_factory=list)
    padding_side: str = "right"
    truncation_side: str = "right"
    model_max_length: int = NO_LIMIT

    def special_tokens(self) -> list[str]:
        """Return all special tokens of the settings, each once."""
        named = (self.bos_token, self.eos_token, self.unk_token, self.pad_token)
        return list(dict.fromkeys(token for token in (*named, *self.extra_special_tokens) if token is not None))


def read_tokenizer_json(folder: Path) -> str:
    """Return the text of tokenizer.json, or of one made of vocab.json and merges.txt where there is none.

    Raises `CheckpointError` unless it is a byte-level BPE that works as Qwen2's.
    """
    is_old = (
        not has_file(folder, "tokenizer.json") and has_file(folder, "vocab.json") and has_file(folder, "merges.txt")
    )
    content = _from_old_files(folder) if is_old else read_bounded(folder, "tokenizer.json", TOKENIZER_LIMIT)
    source = str(folder / ("vocab.json" if is_old else "tokenizer.json"))
    values = parse_json(content, source)
    model = values.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{source} has no model; the file that transformers' save_pretrained writes was expected")
    for stages, program, prefix in ((values, QWEN2_PROGRAM, ""), (model, QWEN2_MODEL, "model.")):
        for name, known in program.items():
            if not any(_agrees(stages.get(name), expected) for expected in known):
                raise CheckpointError(
                    f"{source}: its {prefix}{name} is not Qwen2's: {json.dumps(stages.get(name))[:200]}; expected "
                    f"{json.dumps(known[-1])}. Take the tokenizer.json that belongs to the checkpoint"
                )
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not all(map(_is_id, vocabulary.values())):
        raise CheckpointError(f"{source}: model.vocab should give tokens whole numbers from 0 to {MOST_IDS - 1} as ids")
    added = values.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(token, dict) and _is_id(token.get("id")) for token in added):
        raise CheckpointError(f"{source}: added_tokens should be a list of objects with ids below {MOST_IDS}")
    for token in added:
        _check_strip(token, source)
    return content.decode("utf-8")


def _from_old_files(folder: Path) -> bytes:
    """Return a tokenizer.json of the vocabulary and the merges of Qwen2's first form, which transformers loads, too."""
    vocabulary = read_json(folder, "vocab.json", TOKENIZER_LIMIT)
    lines = read_bounded(folder, "merges.txt", TOKENIZER_LIMIT).decode("utf-8", errors="replace").split("\n")
    merges = [line.split() for line in lines if line.strip() and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in merges):
        raise CheckpointError(f"{folder / 'merges.txt'} should hold two tokens in each line")
    stages: dict[str, Any] = {name: known[0] for name, known in QWEN2_PROGRAM.items()}
    split = stages["pre_tokenizer"]["pretokenizers"][0]
    stages |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTES]}}
    stages |= {"post_processor": BYTES, "decoder": BYTES}
    model: dict[str, Any] = {name: known[-1] for name, known in QWEN2_MODEL.items()}
    model |= {"fuse_unk": False, "vocab": vocabulary, "merges": merges}
    return json.dumps({"version": "1.0", "added_tokens": [], **stages, "model": model}).encode()


def read_settings(folder: Path) -> tuple[TokenizerSettings, dict[str, dict[str, Any]]]:
    """Return the settings in tokenizer_config.json (and, where it lists no added tokens, special_tokens_map.json), and the added
    tokens by id. Raises `CheckpointError` for values of another kind, or for a tokenizer that isn't used as Qwen2's.
    """
    config = read_json(folder, "tokenizer_config.json") if has_file(folder, "tokenizer_config.json") else {}
    source = str(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in config and has_file(folder, "special_tokens_map.json"):
        config |= read_json(folder, "special_tokens_map.json")
    if "added_tokens_decoder" not in config and has_file(folder, "added_tokens.json"):
        tokens = read_json(folder, "added_tokens.json")
        if not all(map(_is_id, tokens.values())):
            raise CheckpointError(
                f"{folder / 'added_tokens.json'} should give tokens whole numbers below {MOST_IDS} as ids"
            )
        config["added_tokens_decoder"] = {
            str(token_id): {"content": token, "special": True} for token, token_id in tokens.items()
        }
    for switch in ("add_bos_token", "add_eos_token", "add_prefix_space", "split_special_tokens"):
        if config.get(switch):
            raise CheckpointError(f"{source}: {switch} is on; Qwen2's tokenizer, which Ovis2 uses, has it off")
    settings = TokenizerSettings()
    for name in ("unk_token", "bos_token", "eos_token", "pad_token"):
        if name in config:
            setattr(settings, name, None if config[name] is None else _token(config[name], f"{source}: {name}"))
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    if not isinstance(extra, list):
        raise CheckpointError(f"{source}: the extra special tokens should be a list, not {shown(extra)}")
    settings.extra_special_tokens = [_token(token, f"{source}: an extra special token") for token in extra]
    for name in ("padding_side", "truncation_side"):
        side = config.get(name, "right")
        if side not in ("left", "right"):
            raise CheckpointError(f'{source}: {name} should be "left" or "right", not {shown(side)}')
        setattr(settings, name, side)
    longest = config.get("model_max_length")
    if longest is not None:
        if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 1:
            raise CheckpointError(f"{source}: model_max_length should be a number of tokens, not {shown(longest)}")
        settings.model_max_length = int(min(longest, NO_LIMIT))
    return settings, _added_tokens(config.get("added_tokens_decoder") or {}, source)


def write_settings(folder: Path, settings: TokenizerSettings, added_tokens: dict[int, dict[str, Any]]) -> None:
    """Write tokenizer_config.json as transformers 4.56 does; 5.x reads it too."""
    config = {
        "added_tokens_decoder": {str(token_id): token for token_id, token in sorted(added_tokens.items())},
        "additional_special_tokens": settings.extra_special_tokens,
        "bos_token": settings.bos_token,
        "clean_up_tokenization_spaces": False,
        "eos_token": settings.eos_token,
        "model_max_length": settings.model_max_length,
        "pad_token": settings.pad_token,
        "padding_side": settings.padding_side,
        "processor_class": "Ovis2Processor",
        "tokenizer_class": "Qwen2Tokenizer",
        "truncation_side": settings.truncation_side,
        "unk_token": settings.unk_token,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    write_text(folder / "tokenizer_config.json", text)


def _agrees(value: Any, expected: Any) -> bool:
    """Return True if `value` equals `expected`, without the keys that `expected` doesn't name."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(_agrees(value.get(key), part) for key, part in expected.items())
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(_agrees, value, expected))
    return type(value) is type(expected) and value == expected


def _token(value: Any, what: str) -> str:
    """Return a token, which is written as a text, or as a dictionary with the text as its content."""
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise CheckpointError(f"{what} should be a token, not {shown(value)}")
    return content


def _added_tokens(entries: Any, source: str) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise CheckpointError(
            f"{source}: added_tokens_decoder should be an object of tokens by id, not {shown(entries)}"
        )
    for token_id, entry in entries.items():
        _token(entry, f"{source}: added token {token_id}")
        flags = [entry.get(flag, False) for flag in TOKEN_FLAGS]
        if not (token_id.isascii() and token_id.isdecimal() and len(token_id) < 10 and int(token_id) < MOST_IDS):
            raise CheckpointError(
                f"{source}: {shown(token_id)} is no id of an added token, a whole number from 0 to {MOST_IDS - 1}"
            )
        if not all(isinstance(flag, bool) for flag in flags):
            raise CheckpointError(
                f"{source}: added token {token_id} has a flag that is neither true nor false: {shown(entry)}"
            )
        _check_strip(entry, source)
    return entries


def _check_strip(token: dict[str, Any], source: str) -> None:
    """Refuse a token of only white space that also strips white space around it, at which the library panics."""
    if str(token.get("content")).isspace() and (token.get("lstrip") or token.get("rstrip")):
        raise CheckpointError(
            f"{source}: the added token {shown(token['content'])} is white space, and can't be set to strip it"
        )


def _is_id(value: Any) -> bool:
    return is_whole(value) and 0 <= value < MOST_IDS


@contextmanager
def library_errors(error: type[OvisError], what: str) -> Iterator[None]:
    """Turn whatever the library raises in the block into `error`, with `what` failed as its message.

    A panic comes as a `PanicException`, which inherits from BaseException alone and can't be imported.
    """
    try:
        yield
    except BaseException as raised:
        if isinstance(raised, Exception) or type(raised).__name__ == "PanicException":
            raise error(f"{what}: {str(raised)[:300]}") from raised
        raise


def load_tokenizer(text: str, source: str) -> "tokenizers.Tokenizer":
    """Return the library's tokenizer from the text of a tokenizer.json. Raises `CheckpointError`, naming `source`."""
    import tokenizers

    with library_errors(CheckpointError, f"{source} can't be loaded"):
        return tokenizers.Tokenizer.from_str(text)


def add_tokens(backend: "tokenizers.Tokenizer", tokens: Sequence[dict[str, Any]]) -> None:
    """Add `tokens`, each with its content and flags, to the vocabulary. Raises `CheckpointError` for those it can't take."""
    if not tokens:
        return
    import tokenizers

    with library_errors(CheckpointError, "tokens can't be added to the vocabulary"):
        flags = [{flag: token.get(flag, False) for flag in TOKEN_FLAGS} for token in tokens]
        backend.add_tokens(
            [tokenizers.AddedToken(token["content"], **kind) for token, kind in zip(tokens, flags, strict=True)]
        )
