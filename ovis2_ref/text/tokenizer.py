"""A text becomes token ids and back: Qwen2's byte-level BPE, run by the `tokenizers` library from a checkpoint's files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.runtime.arrays import to_host
from ovis2_ref.runtime.files import checked_folder
from ovis2_ref.text.batch import BatchFeature, BatchRules, collate
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS
from ovis2_ref.text.tokenizer_files import TokenizerSettings, read_settings, read_tokenizer_json, write_settings

if TYPE_CHECKING:
    import tokenizers

TOKEN_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


class Tokenizer:
    """A Qwen2 tokenizer with transformers' names for what it does. Control tokens written in a text are taken as such."""

    def __init__(self, backend: "tokenizers.Tokenizer", settings: TokenizerSettings) -> None:
        """Take the vocabulary and its use from `backend`; special tokens of `settings` that it lacks are added to it."""
        self._backend, self.settings = backend, settings
        backend.no_truncation()
        backend.no_padding()
        self.add_special_tokens(settings.special_tokens())

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The tokenizer in `folder`, from the files of transformers 4.56, 5.x or the authors.

        Raises `CheckpointError` for files that are missing, damaged, hostile or another model's.
        """
        root = checked_folder(folder)
        text = read_tokenizer_json(root)
        settings, added = read_settings(root)
        backend = _load(text, str(root / "tokenizer.json"))
        wanted = [added[token_id] for token_id in sorted(added, key=int)]
        present = {token.content for token in backend.get_added_tokens_decoder().values()}
        _add(backend, [token for token in wanted if token["content"] not in present])
        for token_id, token in added.items():
            if backend.token_to_id(token["content"]) != int(token_id):
                raise CheckpointError(
                    f"{root}: tokenizer_config.json gives {token['content']!r} the id {token_id}, tokenizer.json "
                    f"{backend.token_to_id(token['content'])}; take both files from one checkpoint"
                )
        return cls(backend, settings)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers 4.56 and 5.x load."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / "tokenizer.json").write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        added = self._backend.get_added_tokens_decoder()
        entries = {
            token_id: {"content": token.content, **{flag: getattr(token, flag) for flag in TOKEN_FLAGS}}
            for token_id, token in added.items()
        }
        write_settings(path, self.settings, entries)

    def __len__(self) -> int:
        """The number of tokens, added ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @property
    def pad_token_id(self) -> int | None:
        """The id that pads, None if there is none."""
        return self._id_or_none(self.settings.pad_token)

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a text, None if there is none."""
        return self._id_or_none(self.settings.eos_token)

    def add_special_tokens(self, tokens: Iterable[str]) -> None:
        """Give each of `tokens` that isn't there yet the next free id; all of them are special from now on."""
        present = {token.content for token in self._backend.get_added_tokens_decoder().values() if token.special}
        missing = [token for token in dict.fromkeys(tokens) if token not in present]
        _add(self._backend, [{"content": token, "special": True} for token in missing])
        named = self.settings.special_tokens()
        self.settings.extra_special_tokens += [token for token in missing if token not in named]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or the ids of several; for one that isn't in the vocabulary the unknown token's, or None."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        token_id = self._backend.token_to_id(tokens)
        return self._id_or_none(self.settings.unk_token) if token_id is None else token_id

    def encode(self, text: str) -> list[int]:
        """The token ids of `text`. Raises `InputError` for a text that UTF-8 can't write."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"the prompt holds half of a surrogate pair at character {error.start}") from error
        return self._backend.encode(text).ids

    def __call__(self, text: Any, **options: Any) -> BatchFeature:
        """`input_ids` and `attention_mask` of one text or several, cut and padded by the `options` of `BatchRules`.

        One text gives flat lists, or, as an array, a batch of one.
        """
        rules = self.rules(**options)
        batch = self.collate([self.encode(one) for one in text_list(text)], rules)
        if isinstance(text, str) and rules.return_tensors is None:
            return BatchFeature({name: rows[0] for name, rows in batch.items()})
        return batch

    def rules(self, **options: Any) -> BatchRules:
        """How rows are cut and padded, with this tokenizer's sides where `options` name none."""
        settings = self.settings
        sides = {"padding_side": settings.padding_side, "truncation_side": settings.truncation_side}
        return BatchRules(**sides | {name: value for name, value in options.items() if value is not None})

    def collate(
        self, rows: Sequence[Sequence[int]], rules: BatchRules, masks: Sequence[Sequence[int]] | None = None
    ) -> BatchFeature:
        """`rows` of ids as a batch, padded with this tokenizer's padding token."""
        return collate(rows, rules, pad_id=self.pad_token_id, longest=self.settings.model_max_length, masks=masks)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of a row of ids (an array, a list, or one id); ids that no token has leave no trace.

        `clean_up_tokenization_spaces` changes nothing: transformers 5 ignores it for a BPE (4.56 heeds it).
        """
        ids = row_of(token_ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise InputError(
                f"decode takes whole numbers in one row, not {ids.dtype} of shape {ids.shape}; for several rows batch_decode"
            )
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 2**32:
            raise InputError(f"ids from {ids.min()} to {ids.max()} can't be decoded; a vocabulary's ids start at 0")
        return self._backend.decode(ids.tolist(), skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The text of each row of ids. A flat row is a batch of one, as in transformers 5."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows_of(sequences)]

    def _id_or_none(self, token: str | None) -> int | None:
        return None if token is None else self._backend.token_to_id(token)


def check_special_tokens(tokenizer: Tokenizer, config: Ovis2Config) -> None:
    """Raise `CheckpointError` unless the tokenizer knows Ovis2's special tokens by the ids that `config` gives them, and has no
    id beyond the text embedding table.
    """
    names = (IMAGE_ATOM, *INDICATORS)
    ids = (config.image_token_id, *config.visual_indicator_token_ids)
    wrong = [
        f"{name} is {'missing' if found is None else found}, the config has {expected}"
        for name, expected in zip(names, ids, strict=False)
        if (found := tokenizer._backend.token_to_id(name)) != expected
    ]
    if wrong:
        raise CheckpointError(
            f"the tokenizer and config.json disagree about Ovis2's special tokens: {'; '.join(wrong)}. Take both from one "
            "checkpoint of transformers' layout (the authors' has to be converted first)"
        )
    if len(tokenizer) > config.text_config.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {len(tokenizer)} tokens, the model's table {config.text_config.vocab_size} rows; "
            "take both from one checkpoint"
        )


def rows_of(sequences: Any) -> list[Any]:
    """The rows of ids in `sequences`, an array or lists of any lengths; a flat row is one."""
    rows = list(sequences) if isinstance(sequences, list | tuple) else list(to_host(sequences))
    flat = rows and not isinstance(rows[0], list | tuple) and getattr(rows[0], "ndim", 0) == 0
    return [rows] if flat else rows


def row_of(token_ids: Any) -> np.ndarray:
    """A row of ids on the host, one id being a row too. Raises `InputError` for lists of unequal lengths."""
    try:
        return np.atleast_1d(to_host(token_ids))
    except ValueError as error:
        raise InputError("decode takes ids in one row; for rows of several lengths batch_decode") from error


def text_list(text: Any) -> list[str]:
    """One text or several, as a list. Raises `InputError` if there is none, or something else among them."""
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list | tuple) else []
    if not texts or not all(isinstance(one, str) for one in texts):
        raise InputError(f"text should be a prompt or a list of prompts, not {text!r:.200}")
    return texts


def _load(text: str, source: str) -> "tokenizers.Tokenizer":
    """The library's tokenizer from the text of a tokenizer.json."""
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        # A panic in the library's Rust code comes as a PanicException, which is no Exception and can't be imported.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise CheckpointError(f"{source} can't be loaded: {str(error)[:300]}") from error
        raise


def _add(backend: "tokenizers.Tokenizer", tokens: Sequence[dict[str, Any]]) -> None:
    if tokens:
        import tokenizers

        flags = [{flag: token.get(flag, False) for flag in TOKEN_FLAGS} for token in tokens]
        backend.add_tokens(
            [tokenizers.AddedToken(token["content"], **kind) for token, kind in zip(tokens, flags, strict=True)]
        )
