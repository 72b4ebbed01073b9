"""Tokens out of the chunks of a stream, in either form of the API, and numbers for those without."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from backends.server.wire import Alternative, Choice, Logprobs

_MOST = 1 << 20
"""Pieces that are remembered: several vocabularies."""

_IMPOSSIBLE = -9999.0
"""What vLLM writes for minus infinity; llama.cpp writes the lowest number there is."""


class Token(NamedTuple):
    """One token as it was told, or what came at once where tokens are not."""

    id: int
    piece: bytes
    text: str
    lp: float | None = None
    top: tuple[tuple[int, float, bytes], ...] = ()
    rank: int | None = None


def number(piece: bytes) -> int:
    """For a token whose id is not told: below 0, and the same for the same bytes everywhere."""
    return -1 - int.from_bytes(hashlib.blake2b(piece, digest_size=6).digest())


class Vocabulary:
    """The bytes of tokens that were seen."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytes] = {}

    def learn(self, seen: Iterable[tuple[int, bytes]]) -> None:
        """Remember them."""
        if len(self._pieces) > _MOST:
            self._pieces.clear()
        self._pieces.update(seen)

    def piece(self, token: int) -> bytes | None:
        """The bytes of a token, if it was seen."""
        return self._pieces.get(token)


def tokens(choice: Choice, wanted: int) -> list[Token]:
    """Those of one chunk, with at most ``wanted`` alternatives each; their texts make up the chunk's."""
    text = said(choice)
    told = _figures(choice.logprobs, wanted) if choice.logprobs is not None else []
    ids = choice.token_ids
    if not told and ids is not None and len(ids) == 1:
        told = [Token(ids[0], text.encode(), text)]
    elif ids is not None and len(ids) == len(told):
        told = [_with_id(token, given) for token, given in zip(told, ids, strict=True)]
    if not told:
        return [Token(number(text.encode()), text.encode(), text)] if text else []
    if "".join(token.text for token in told) == text:
        return told
    # Text is held back while a character or a stop string is incomplete, and then comes at once.
    parts = [token._replace(text="") for token in told]
    last = told[-1]
    broken = len(told) == 1 and "\N{REPLACEMENT CHARACTER}" in last.text and text
    parts[-1] = last._replace(text=text, piece=text.encode() if broken else last.piece)
    return parts


def said(choice: Choice) -> str:
    """The text of a chunk."""
    if choice.text is not None:
        return choice.text
    return (choice.delta.content if choice.delta is not None else None) or ""


def _with_id(token: Token, given: int) -> Token:
    """By its own id; it stands among its alternatives by that too."""
    top = tuple((given if t == token.id else t, lp, piece) for t, lp, piece in token.top)
    return token._replace(id=given, top=top)


def _figures(told: Logprobs, wanted: int) -> list[Token]:
    if told.content is not None:
        return [
            _token(each, [(_id(other), other.logprob, _piece(other)) for other in each.top_logprobs], wanted)
            for each in told.content
        ]
    found = []
    for at, text in enumerate(told.tokens or ()):
        lp = told.token_logprobs[at] if told.token_logprobs and at < len(told.token_logprobs) else None
        others = told.top_logprobs[at] if told.top_logprobs and at < len(told.top_logprobs) else None
        top = [(number(t.encode()), value, t.encode()) for t, value in (others or {}).items()]
        if lp is None:
            found.append(Token(number(text.encode()), text.encode(), text))
        else:
            found.append(_token(Alternative(token=text, logprob=lp), top, wanted))
    return found


def _token(told: Alternative, others: Sequence[tuple[int, float, bytes]], wanted: int) -> Token:
    lp = nats(told.logprob)
    best = sorted(((t, nats(value), piece) for t, value, piece in others), key=lambda each: -each[1])
    above = sum(value > lp for _, value, _ in best)
    # All that are likelier are known only where it is itself among the best, or behind no more than are told.
    rank = above if best and above < max(1, wanted) else None
    return Token(_id(told), _piece(told), told.token, lp, tuple(best[:wanted]), rank)


def nats(told: float) -> float:
    """Rounding makes some that are above 0; JSON has no minus infinity, so servers write low numbers."""
    return float("-inf") if told <= _IMPOSSIBLE else min(0.0, told)


def _piece(told: Alternative) -> bytes:
    return bytes(told.bytes) if told.bytes is not None else told.token.encode()


def _id(told: Alternative) -> int:
    return told.id if told.id is not None else number(_piece(told))
