"""Streamers: print an answer while it is made, or pass its text to another thread."""

from collections.abc import Iterator
from queue import Queue
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError


class BaseStreamer:
    """Receives tokens from `generate` as they are made (transformers' `BaseStreamer`)."""

    def put(self, value: Any) -> None:
        """Take the prompts (batch, tokens) first, then the new tokens (batch) of each step."""
        raise NotImplementedError

    def end(self) -> None:
        """Take note of the end."""
        raise NotImplementedError


class TextStreamer(BaseStreamer):
    """Prints the text of one prompt and its answer. A character of several tokens is printed once it is complete.

    transformers' `TextStreamer`: the same text, perhaps in other pieces.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        """Decode with `tokenizer`, or a processor, and `decode_kwargs`; `skip_prompt` leaves the prompt out."""
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        self._ids: list[int] = []
        self._shown = ""
        self._prompt_comes = True

    def put(self, value: Any) -> None:
        """Take tokens, and print what they complete."""
        ids = np.asarray(value)
        if ids.ndim > 1 and len(ids) > 1:
            raise InputError(f"a text streamer follows one prompt, not {len(ids)}")
        prompt, self._prompt_comes = self._prompt_comes, False
        if prompt and self.skip_prompt:
            return
        self._ids += ids.reshape(-1).tolist()
        text = self.tokenizer.decode(self._ids, **self.decode_kwargs)
        if not text.endswith("\ufffd"):
            self.on_finalized_text(text[len(self._shown) :])
            self._shown = text

    def end(self) -> None:
        """Print what is left, and end the line."""
        text = self.tokenizer.decode(self._ids, **self.decode_kwargs)
        self.on_finalized_text(text[len(self._shown) :], stream_end=True)
        self._ids, self._shown, self._prompt_comes = [], "", True

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print `text`; a subclass may do something else with it."""
        print(text, flush=True, end="\n" if stream_end else "")


class TextIteratorStreamer(TextStreamer):
    """An iterator over the pieces of an answer that another thread makes (transformers' `TextIteratorStreamer`)."""

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        """Wait `timeout` seconds for the next piece before raising `queue.Empty`; None waits without a limit."""
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: Queue[str | None] = Queue()
        self.stop_signal = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Pass `text` to the other thread."""
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(self.stop_signal, timeout=self.timeout)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = self.text_queue.get(timeout=self.timeout)
        if text is None:
            raise StopIteration
        return text
