"""Convert text to token ids and back: Qwen2's byte-level BPE, run by the `tokenizers` library from a checkpoint's files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.batch_feature import BatchFeature, check_return_tensors
from ovis2_ref.compat.idle import TEXT_OPTIONS
from ovis2_ref.compat.json_settings import check_saving, located
from ovis2_ref.compat.text_arguments import rows_of, text_list, token_list, vocabulary_ids
from ovis2_ref.compat.tokenizer_names import NAMED_TOKENS, SETTABLE, TokenizerNames
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.files.writing import replacing_files, write_text
from ovis2_ref.text.batch import BatchRules, collate
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS
from ovis2_ref.text.tokenizer_files import (
    TOKEN_FLAGS,
    TokenizerSettings,
    add_tokens,
    library_errors,
    load_tokenizer,
    read_settings,
    read_tokenizer_json,
    write_settings,
)

if TYPE_CHECKING:
    import tokenizers

RULES = frozenset(rule.name for rule in fields(BatchRules))


class Tokenizer(TokenizerNames):
    """A Qwen2 tokenizer with transformers' names. Control tokens in a text are recognised as such.

    Attributes that can be set: `padding_side`, `truncation_side`, `model_max_length`, `eos_token`, `pad_token`, `bos_token`,
    `unk_token` and their ids; `chat_template` to Ovis2's own only.
    """

    def __init__(self, backend: "tokenizers.Tokenizer", settings: TokenizerSettings, name_or_path: str = "") -> None:
        """Take the vocabulary from `backend`, and add those special tokens of `settings` that it lacks."""
        self._backend, self.settings, self.name_or_path = backend, settings, name_or_path
        backend.no_truncation()
        backend.no_padding()
        self.add_special_tokens(settings.special_tokens())

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """Load the tokenizer in `folder`, from the files of transformers 4.56, 5.x or the authors.

        `options`: settings to change, such as `padding_side="left"`.
        Raises `CheckpointError` for files that are missing, damaged, hostile or another model's.
        """
        root, options = located(folder, options)
        text = read_tokenizer_json(root)
        settings, added = read_settings(root)
        backend = load_tokenizer(text, str(root / "tokenizer.json"))
        wanted = [added[token_id] for token_id in sorted(added, key=int)]
        present = {token.content for token in backend.get_added_tokens_decoder().values()}
        add_tokens(backend, [token for token in wanted if token["content"] not in present])
        for token_id, token in added.items():
            if backend.token_to_id(token["content"]) != int(token_id):
                raise CheckpointError(
                    f"{root}: tokenizer_config.json gives {token['content']!r} the id {token_id}, tokenizer.json "
                    f"{backend.token_to_id(token['content'])}; take both files from one checkpoint"
                )
        tokenizer = cls(backend, settings, str(folder))
        check_names("a tokenizer's from_pretrained", options, SETTABLE)
        for name, value in options.items():
            setattr(tokenizer, name, value)
        return tokenizer

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers 4.56 and 5.x load."""
        check_saving(options)
        with library_errors(InputError, "the tokenizer can't be written"):
            text = self._backend.to_str(pretty=True)
        added = self._backend.get_added_tokens_decoder()
        entries = {
            token_id: {"content": token.content, **{flag: getattr(token, flag) for flag in TOKEN_FLAGS}}
            for token_id, token in added.items()
        }
        with replacing_files(folder, InputError) as files:
            write_text(files / "tokenizer.json", text, InputError)
            write_settings(files, self.settings, entries)

    def __len__(self) -> int:
        """Return the number of tokens, added ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def add_special_tokens(self, tokens: Iterable[str] | Mapping[str, Any]) -> int:
        """Give each of `tokens` that isn't there yet the next free id; all of them are special from now on.

        A mapping, as in transformers, also names what a token is for: {"pad_token": "<pad>"}. Return how many ids are new.
        """
        before = len(self)
        named = dict(tokens) if isinstance(tokens, Mapping) else {}
        check_names("add_special_tokens", named, (*NAMED_TOKENS, "extra_special_tokens", "additional_special_tokens"))
        extra = [] if isinstance(tokens, Mapping) else token_list("tokens", tokens)
        for name, value in named.items():
            extra += token_list(name, value)
        present = {token.content for token in self._backend.get_added_tokens_decoder().values() if token.special}
        missing = [str(token) for token in dict.fromkeys(map(str, extra)) if token not in present]
        add_tokens(self._backend, [{"content": token, "special": True} for token in missing])
        for name in NAMED_TOKENS:
            if name in named:
                setattr(self.settings, name, str(named[name]))
        known = set(self.settings.special_tokens())
        self.settings.extra_special_tokens += [token for token in missing if token not in known]
        return len(self) - before

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """Return the id of a token, or the ids of several; for one outside the vocabulary the unknown token's, or None."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(str(token)) for token in token_list("tokens", tokens)]
        token_id = self._backend.token_to_id(tokens)
        return self.unk_token_id if token_id is None else token_id

    def encode(self, text: str, **options: Any) -> Any:
        """Return the token ids of `text`; with options of the call (`return_tensors`), its `input_ids`.

        Raises `InputError` for a text that UTF-8 can't encode.
        """
        if options:
            return self(text, **options)["input_ids"]
        return self.encoding(text).ids

    def encoding(self, text: str) -> Any:
        """Return the `ids` and `offsets` (first and last character) of the tokens of `text`. Raises `InputError` as `encode`."""
        if not isinstance(text, str):
            raise InputError(f"text should be a text, not {shown(text)}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"the prompt holds half of a surrogate pair at character {error.start}") from error
        with library_errors(InputError, f"the prompt {shown(text)} can't be tokenised"):
            return self._backend.encode(text)

    def __call__(self, text: Any, **options: Any) -> BatchFeature:
        """Return `input_ids` and `attention_mask` of one text or several, cut and padded by the `options` of `BatchRules`.

        One text gives flat lists, or, as an array, a batch of one.
        """
        rules = self.rules(**options)
        encodings = [self.encoding(one) for one in text_list(text)]
        rows, offsets = [one.ids for one in encodings], [one.offsets for one in encodings]
        batch = self.collate(rows, rules, offsets=offsets)
        if isinstance(text, str) and rules.return_tensors is None:
            return BatchFeature({name: rows if name == "length" else rows[0] for name, rows in batch.items()})
        return batch

    def rules(self, **options: Any) -> BatchRules:
        """Return how rows are cut and padded, with this tokenizer's sides where `options` name none."""
        options = active("the tokenizer", options, TEXT_OPTIONS)
        check_names("the tokenizer", options, RULES)
        own: dict[str, Any] = {"padding_side": self.padding_side, "truncation_side": self.truncation_side}
        own["return_tensors"] = check_return_tensors(options.pop("return_tensors", None))
        return BatchRules(**own | given(options))

    def collate(
        self,
        rows: Sequence[Sequence[int]],
        rules: BatchRules,
        masks: Sequence[Sequence[int]] | None = None,
        offsets: Sequence[Sequence[tuple[int, int]]] | None = None,
    ) -> BatchFeature:
        """Return `rows` of ids as a batch, padded with this tokenizer's padding token."""
        batch = collate(
            rows, rules, pad_id=self.pad_token_id, longest=self.model_max_length, masks=masks, offsets=offsets
        )
        return BatchFeature(batch).convert_to_tensors(rules.return_tensors)

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **options: Any) -> Any:
        """Return the text of a row of ids (an array, a list, or one id), or of each of several; ids without a token
        are dropped.

        `clean_up_tokenization_spaces` changes nothing: transformers 5 ignores it for a BPE (4.56 applies it).
        """
        check_names("decode", active("decode", options, TEXT_OPTIONS), ())
        ids = vocabulary_ids(token_ids)
        with library_errors(InputError, "the ids can't be decoded"):
            return self._backend.decode(ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **options: Any) -> list[str]:
        """Return the text of each row of ids. A flat row is a batch of one, as in transformers 5."""
        return [self.decode(row, skip_special_tokens, **options) for row in rows_of(sequences)]


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
    if len(ids) != len(names):
        raise CheckpointError(
            f"config.json has {len(ids) - 1} visual_indicator_token_ids; a processor needs {len(INDICATORS)}, one each for "
            f"{', '.join(INDICATORS)}"
        )
    if len(tokenizer) > config.text_config.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {len(tokenizer)} tokens, the model's table {config.text_config.vocab_size} rows; "
            "take both from one checkpoint"
        )
