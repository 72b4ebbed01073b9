"""Tokens to visible text, one token at a time.

A token may hold part of a character, a space may depend on the token before, and a stop string may span
tokens: ``TextStream`` gives out text as soon as it is certain, ``StopScanner`` holds back what may turn out
to be the start of a stop string, ``Writer`` is both.
"""

import codecs
from collections.abc import Sequence
from typing import Any, Protocol

from backends import fingerprint
from backends.hf.pieces import pieces, scheme
from backends.stops import cut, without_partial_stop

_CONTEXT = 8
"""Fewest tokens of the prompt a decoder sees, to know what comes before the answer."""


class TextStream(Protocol):
    """Decodes one answer."""

    def push(self, token: int) -> str:
        """The text that became certain with this token."""
        ...

    def flush(self) -> str:
        """What is left when the answer is over; an incomplete character becomes U+FFFD."""
        ...

    def fork(self) -> "TextStream":
        """A copy that can go on another way."""
        ...


class Codec:
    """A tokenizer, seen as a source of pieces and text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.pieces = pieces(tokenizer)
        self.fingerprint = fingerprint.vocabulary(self.pieces)
        added = tokenizer.added_tokens_decoder
        marked = (token for token, entry in added.items() if entry.special)
        self.special = frozenset(marked) | frozenset(tokenizer.all_special_ids)
        self._byte_level = scheme(tokenizer)[0] == "byte-level"

    def piece(self, token: int) -> bytes:
        """The token's own bytes; models may have more rows than the tokenizer has tokens."""
        return self.pieces[token] if token < len(self.pieces) else b""

    def decode(self, tokens: Sequence[int], skip_special: bool = True) -> str:
        """The text of a whole sequence."""
        text: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False
        )
        return text

    def stream(self, context: Sequence[int] = ()) -> TextStream:
        """A decoder for an answer that goes on from ``context``."""
        if self._byte_level:
            return _ByteStream(self)
        size = _CONTEXT
        # Tokens that write nothing do not tell whether the answer stands at the beginning of a text.
        while size < len(context) and not self.decode(context[-size:]):
            size *= 2
        return _WindowStream(self, list(context[-size:]))


class _ByteStream:
    """Byte-level vocabularies: the text is the UTF-8 reading of the pieces, whatever came before."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return "" if token in self._codec.special else self._utf8.decode(self._codec.piece(token))

    def flush(self) -> str:
        return self._utf8.decode(b"", final=True)

    def fork(self) -> "_ByteStream":
        twin = _ByteStream(self._codec)
        twin._utf8.setstate(self._utf8.getstate())
        return twin


class _WindowStream:
    """All others: decode a short window with and without the new token; what is longer is new.

    The window starts far enough back that its own start does not change the text at its end.
    """

    def __init__(self, codec: Codec, window: list[int]) -> None:
        self._codec = codec
        self._window = window
        self._known = codec.decode(window) if window else ""
        self._fresh = len(window)
        """Where in the window the tokens begin that have not been given out."""

    def push(self, token: int) -> str:
        self._window.append(token)
        text = self._codec.decode(self._window)
        if text.endswith("\ufffd") or len(text) <= len(self._known):
            return ""
        new = text[len(self._known) :]
        self._window = self._window[self._fresh :]
        self._fresh = len(self._window)
        self._known = self._codec.decode(self._window)
        return new

    def flush(self) -> str:
        new = self._codec.decode(self._window)[len(self._known) :]
        self._known += new
        return new

    def fork(self) -> "_WindowStream":
        twin = _WindowStream(self._codec, [])
        twin._window, twin._known, twin._fresh = list(self._window), self._known, self._fresh
        return twin


class StopScanner:
    """Finds the first stop string in a stream of text and never lets a part of one be seen."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, text: str, last: bool = False) -> tuple[str, bool]:
        """The text that may be shown now, and whether a stop string ended the answer before it went on.

        ``last`` says that nothing follows, so nothing is held back.
        """
        if not self._stops:
            return text, False
        self._held += text
        shown, stopped = cut(self._held, self._stops)
        if not stopped and not last:
            shown = without_partial_stop(shown, self._stops)
        self._held = self._held[len(shown) :]
        return shown, stopped

    def fork(self) -> "StopScanner":
        """A copy that can go on another way."""
        twin = StopScanner(self._stops)
        twin._held = self._held
        return twin


class Writer:
    """The visible text of one answer as it grows."""

    def __init__(self, stream: TextStream, stops: Sequence[str]) -> None:
        self.text = ""
        self._stream = stream
        self._scanner = StopScanner(stops)

    def push(self, token: int, last: bool) -> tuple[str, bool]:
        """What ``token`` adds, and whether a stop string ends the answer here; ``last`` says that it ends."""
        certain = self._stream.push(token)
        if last:
            certain += self._stream.flush()
        text, stopped = self._scanner.push(certain, last)
        self.text += text
        return text, stopped

    def end(self) -> str:
        """What is left to show of an answer that ends before the next token."""
        text, _ = self._scanner.push(self._stream.flush(), last=True)
        self.text += text
        return text

    def fork(self) -> "Writer":
        """A copy that can go on another way."""
        twin = Writer(self._stream.fork(), ())
        twin.text, twin._scanner = self.text, self._scanner.fork()
        return twin
