"""Decode pictures inside a text: data: URLs and base64."""

import base64
import binascii
import os

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown

SHORTEST = 64
"""Characters of base64 at least; no picture is shorter, so a shorter text is the name of a file."""


def embedded_picture(source: str) -> bytes | None:
    """Return the bytes of the picture that a text holds: a data: URL, or base64; None for the name of a file.

    A file of that name takes precedence, as in transformers. Raises `InputError` for a web address, and for a data: URL without
    base64.
    """
    if source.startswith(("http://", "https://")):
        raise InputError(
            f"{shown(source)}: nothing is fetched from the network; download the picture and give its file"
        )
    if source.startswith("data:"):
        kind, _, text = source.partition(",")
        content = _decoded(text)
        if content is None or not kind.endswith(";base64"):
            raise InputError(f"{shown(source)} is no picture: data:image/png;base64,... was expected")
        return content
    if len(source) < SHORTEST or os.path.isfile(source):
        return None
    return _decoded(source)


def _decoded(text: str) -> bytes | None:
    """Return the bytes that the base64 text encodes, line breaks ignored; None if it isn't base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
