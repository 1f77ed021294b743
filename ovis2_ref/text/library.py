"""Call the `tokenizers` library, and turn its errors into ours: a panic in its Rust code is no Exception."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ovis2_ref.errors import CheckpointError, OvisError

if TYPE_CHECKING:
    import tokenizers

TOKEN_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


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
