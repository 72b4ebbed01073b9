"""From a request to what a server is sent: a text, its tokens, or a conversation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backends.base import BackendError
from backends.server.served import Served
from backends.server.tokens import Token, number
from repl.messages import Message, Request


@dataclass(frozen=True)
class Prompt:
    """What is sent."""

    path: str
    body: dict[str, Any]
    text: str
    ids: list[int] = field(default_factory=list)
    """Where the server tells them."""
    forced: list[Token] = field(default_factory=list)
    """The beginning of the answer that the request prescribes."""


async def build(served: Served, request: Request) -> Prompt:
    """Raises ``BackendError`` where the server cannot be asked that way."""
    turns = _turns(served, request)
    chat = served.chat and request.template
    if chat and not served.tokenizes:
        if request.prefix or request.prefix_ids:
            raise BackendError(
                "unsupported",
                f"model '{served.model}': {served.kind.words} takes whole turns, no beginnings",
                "/template off sends plain text, which can be gone on with",
            )
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        shown = "\n".join(f"{turn.role}: {turn.text}" for turn in turns)
        return Prompt("/chat/completions", {"messages": messages}, shown)
    line = turns[-1].text
    if not served.tokenizes:
        forced = await _forced(served, request)
        begun = "".join(token.text for token in forced)
        return Prompt("/completions", {"prompt": line + begun}, line, forced=forced)
    ids, pieces = await (served.conversation(turns) if chat else served.tokenize(line, special=True))
    if not ids:
        raise BackendError("empty_prompt", "the prompt is empty", "type at least one word")
    text = b"".join(pieces).decode("utf-8", "replace") if pieces else await served.text(ids)
    forced = await _forced(served, request)
    return Prompt("/completions", {"prompt": ids + [token.id for token in forced]}, text, ids, forced)


def _turns(served: Served, request: Request) -> list[Message]:
    """The conversation with the new line at its end."""
    line = request.prompt
    if served.template is not None:
        line = served.template.replace("{prompt}", line)
    return [*request.history, Message(role="user", text=line)]


async def _forced(served: Served, request: Request) -> list[Token]:
    if request.prefix_ids:
        return await _given(served, request.prefix_ids)
    if not request.prefix:
        return []
    return await _written(served, request.prefix)


async def _written(served: Served, text: str) -> list[Token]:
    """A text as tokens, or as one where the server does not tell them."""
    if not served.tokenizes:
        return [Token(number(text.encode()), text.encode(), text)]
    ids, pieces = await served.tokenize(text, special=False)
    if len(pieces) != len(ids):
        pieces = [(await served.text([token])).encode() for token in ids]
    return spelled(ids, pieces, text)


async def _given(served: Served, ids: Sequence[int]) -> list[Token]:
    """Tokens by their numbers, the made-up ones among them by what they stand for."""
    forced: list[Token] = []
    for token in ids:
        piece = served.vocabulary.piece(token)
        if piece is None and token >= 0 and served.tokenizes:
            piece = (await served.text([token])).encode()
        if piece is None:
            raise BackendError(
                "unsupported",
                f"model '{served.model}': the server does not tell what token {token} stands for",
                "/handoff goes on from the text",
            )
        if token < 0 and served.tokenizes:
            forced += await _written(served, piece.decode("utf-8", "replace"))
        else:
            forced.append(Token(token, piece, ""))
    whole = b"".join(token.piece for token in forced).decode("utf-8", "replace")
    return spelled([token.id for token in forced], [token.piece for token in forced], whole)


def spelled(ids: Sequence[int], pieces: Sequence[bytes], text: str) -> list[Token]:
    """Tokens with what each adds to ``text``; a character that several write comes with the last of them."""
    tokens, shown = [], 0
    written = b""
    for at, (token, piece) in enumerate(zip(ids, pieces, strict=True)):
        written += piece
        if at == len(ids) - 1:
            whole = len(text)
        else:
            whole = len(written.decode("utf-8", "ignore")) if _complete(written) else shown
        tokens.append(Token(token, piece, text[shown:whole]))
        shown = max(shown, whole)
    return tokens


def _complete(written: bytes) -> bool:
    """Whether the bytes end where a character ends."""
    try:
        written.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
