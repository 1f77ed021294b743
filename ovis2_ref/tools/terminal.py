"""Print safely: escape control characters, and cut errors to one line of bounded length.

A checkpoint's strings, a model's answer and a file's name are untrusted: an escape sequence in them could rewrite the terminal.
"""

import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
LONGEST = 2000
"""Characters of an error; a list of faults is cut there."""


class Printable:
    """A text stream that escapes control characters, except line breaks and tabs, before `stream` gets them."""

    def __init__(self, stream: Any) -> None:
        """Write to `stream`; characters that its encoding lacks are escaped, too."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`, escaped."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def printable(text: str) -> str:
    """Return `text` with control characters other than line breaks and tabs, and marks that turn the direction of writing,
    escaped.
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_error(message: str) -> None:
    """Print an error on stderr, in one line; print nothing if stderr is closed."""
    line = " ".join(printable(message).split())
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
    try:
        print(f"ovis2-ref: {line}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def print_warning(message: str) -> None:
    """Print a warning on stderr, in one line, as `print_error` does."""
    print_error(f"warning: {message}")


def silence(stream: TextIO) -> None:
    """Discard what is left in `stream`, whose reader has gone or whose disk is full, so that exit doesn't raise."""
    with suppress(OSError, ValueError, AttributeError):  # it is closed, or is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
