"""The attributes of a tokenizer that transformers' scripts use: special tokens, vocabulary, settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ovis2_ref.compat.arguments import active
from ovis2_ref.compat.idle import TEMPLATE_OPTIONS
from ovis2_ref.compat.missing import TOKENIZER, Counterpart
from ovis2_ref.compat.text_arguments import row_of, rows_of, token_list, vocabulary_ids
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, shown
from ovis2_ref.text.chat import CHAT_TEMPLATE, check_chat_template, conversation_list, render_chat
from ovis2_ref.text.tokenizer_files import TokenizerSettings

if TYPE_CHECKING:
    import tokenizers

NAMED_TOKENS = ("eos_token", "pad_token", "bos_token", "unk_token")
SETTABLE = ("padding_side", "truncation_side", "model_max_length", *NAMED_TOKENS)
"""The settings that `from_pretrained` of a tokenizer can change."""


class Setting:
    """An attribute that is a field of the tokenizer's `settings`, checked when it is set."""

    def __init__(self, expected: str, holds: Callable[[Any], bool]) -> None:
        """Take `holds`, which tests a value, and `expected`, its description for an error."""
        self.expected, self.holds = expected, holds

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        return self if tokenizer is None else getattr(tokenizer.settings, self.name)

    def __set__(self, tokenizer: Any, value: Any) -> None:
        if not self.holds(value):
            raise InputError(f"{self.name}={shown(value)} should be {self.expected}")
        setattr(tokenizer.settings, self.name, value)


class NamedToken(Setting):
    """A special token by its purpose, None if there is none. Setting one that is not in the vocabulary adds it."""

    def __init__(self) -> None:
        super().__init__("a token, or None", lambda token: token is None or (isinstance(token, str) and token != ""))

    def __set__(self, tokenizer: Any, value: Any) -> None:
        value = getattr(value, "content", value)  # an AddedToken
        super().__set__(tokenizer, value)
        if value is not None:
            tokenizer.add_special_tokens([value])


class TokenId:
    """The id of the special token called `token`; None if there is none. Setting it names the token with that id."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = getattr(tokenizer, self.token)
        return None if token is None else tokenizer._backend.token_to_id(token)

    def __set__(self, tokenizer: Any, token_id: int | None) -> None:
        token = None if token_id is None else tokenizer.convert_ids_to_tokens(token_id)
        if token is None and token_id is not None:
            raise InputError(f"{self.token}_id={token_id} is the id of no token; there are {len(tokenizer)}")
        setattr(tokenizer, self.token, token)


def _length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1


class TokenizerNames(Counterpart):
    """The attributes and small methods of transformers' tokenizers."""

    counterpart, missing = "transformers' Qwen2Tokenizer", TOKENIZER
    settings: TokenizerSettings
    _backend: "tokenizers.Tokenizer"

    padding_side = Setting('"left" or "right"', lambda side: side in ("left", "right"))
    truncation_side = Setting('"left" or "right"', lambda side: side in ("left", "right"))
    model_max_length = Setting("a number of tokens", _length)
    eos_token, pad_token, bos_token, unk_token = NamedToken(), NamedToken(), NamedToken(), NamedToken()
    eos_token_id, pad_token_id = TokenId("eos_token"), TokenId("pad_token")
    bos_token_id, unk_token_id = TokenId("bos_token"), TokenId("unk_token")
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    is_fast = True
    pad_token_type_id = 0
    _chat_template = CHAT_TEMPLATE
    clean_up_tokenization_spaces = False

    @property
    def chat_template(self) -> str:
        """Ovis2's chat template; it can be set to one with another system message only, since templates are programs."""
        return self._chat_template

    @chat_template.setter
    def chat_template(self, template: str) -> None:
        check_chat_template(template, "tokenizer.chat_template", InputError)
        self._chat_template = template

    @property
    def vocab_size(self) -> int:
        """The number of tokens without those that were added."""
        return self._backend.get_vocab_size(with_added_tokens=False)

    @property
    def vocab(self) -> dict[str, int]:
        """The same as `get_vocab`."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Return the id of every token, added ones included."""
        return self._backend.get_vocab(with_added_tokens=True)

    def get_added_vocab(self) -> dict[str, int]:
        """Return the ids of the added tokens."""
        return {token.content: i for i, token in sorted(self._backend.get_added_tokens_decoder().items())}

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens by id."""
        return dict(sorted(self._backend.get_added_tokens_decoder().items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return self.get_added_vocab()

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by their purpose."""
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that `settings` name, each once."""
        return self.settings.special_tokens()

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self.get_vocab()[token] for token in self.all_special_tokens]

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Give each of `new_tokens` that isn't there yet the next free id. Return how many are new."""
        tokens = token_list("new_tokens", new_tokens)
        return (self._backend.add_special_tokens if special_tokens else self._backend.add_tokens)(tokens)

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of `text`, as the vocabulary spells them."""
        return self.encoding(text).tokens  # type: ignore[attr-defined]

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """Return the token with an id, or the tokens with several; None where there is none."""
        tokens = [self._backend.id_to_token(one) for one in vocabulary_ids(ids)]
        is_row = isinstance(ids, list | tuple) or getattr(ids, "ndim", 0) > 0
        return tokens if is_row else tokens[0]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Return the text of tokens, given as the vocabulary spells them."""
        return self._backend.decoder.decode([str(token) for token in token_list("tokens", tokens)])

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """Return this template, or `chat_template` if it is Ovis2's with a system message. Raises `InputError` for another."""
        template = self.chat_template if chat_template is None else chat_template
        check_chat_template(template, "tokenizer.chat_template", InputError)
        return template

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return 0: no tokens are added around a text."""
        return 0

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )

    name_or_path: str

    def pad(self, encoded_inputs: Any, padding: bool | str = True, **options: Any) -> Any:
        """Return rows of ids that were tokenised apart (`{"input_ids": [...]}`, or a list of such) as one padded batch."""
        parts = [encoded_inputs] if isinstance(encoded_inputs, Mapping) else encoded_inputs
        if not isinstance(parts, list | tuple) or not all(isinstance(p, Mapping) and "input_ids" in p for p in parts):
            raise InputError(f"pad takes {{'input_ids': [...]}}, or a list of such, not {shown(encoded_inputs)}")
        rules = self.rules(padding=padding, **options)  # type: ignore[attr-defined]
        rows, masks = (
            [row_of(row).tolist() for part in parts if name in part for row in rows_of(part[name])]
            for name in ("input_ids", "attention_mask")
        )
        return self.collate(rows, rules, masks if len(masks) == len(rows) else None)  # type: ignore[attr-defined]

    def apply_chat_template(
        self,
        conversation: Any,
        tokenize: bool = True,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        return_dict: bool = True,
        chat_template: str | None = None,
        **options: Any,
    ) -> Any:
        """Return the prompt of a conversation without pictures' pixels, tokenised or as text; see `render_chat` for the
        template.
        """
        check_flags(tokenize=tokenize, return_dict=return_dict)
        system = check_chat_template(self.get_chat_template(chat_template), "tokenizer.chat_template", InputError)
        conversations, batched = conversation_list(conversation)
        prompts = [
            render_chat(
                one,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                system=system,
            )
            for one in conversations
        ]
        options = active("apply_chat_template", options, TEMPLATE_OPTIONS)
        text = prompts if batched else prompts[0]
        if not tokenize:
            return text
        inputs = self(text, **options)  # type: ignore[operator]
        return inputs if return_dict else inputs["input_ids"]
