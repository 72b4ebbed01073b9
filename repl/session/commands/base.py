"""What a command is, and what several commands share."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from repl.session.errors import InputError
from repl.session.exchange import Exchange
from repl.session.frontend import FrontEnd, Notice
from repl.spelling import nearest

if TYPE_CHECKING:
    from repl.session.session import Session


class Completion(msgspec.Struct, frozen=True):
    """Something that can stand at the end of the line being typed."""

    text: str
    """Replaces the line from ``start`` on."""
    help: str = ""
    start: int = 0


Offer = tuple[str, str]
"""A word and its help."""
Complete = Callable[["Session", Sequence[str], str], Iterable[Offer]]
"""Given the argument's words before the one being typed, and what is typed of that; what does not begin
like it is left out later."""
Handler = Callable[["Session", FrontEnd, str], Awaitable[None]]
"""Given the argument without surrounding white space; raises ``InputError``."""


def no_offers(session: "Session", before: Sequence[str], begun: str) -> Iterable[Offer]:
    """The completer of a command without arguments."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, as every front end offers it."""

    name: str
    usage: str = ""
    """The arguments, such as ``[#id]``."""
    help: str
    """One line."""
    details: str = ""
    """More, for ``/help NAME``."""
    aliases: tuple[str, ...] = ()
    handler: Handler
    offers: Complete = no_offers
    slow: bool = False
    """It asks models: goes on in the background while more is typed, and ``/stop`` ends it."""


def say(ui: FrontEnd, text: str, hint: str = "") -> None:
    """Show a plain notice."""
    ui.show(Notice("info", text, hint))


def one_model(session: "Session", name: str) -> str:
    """The model called or uniquely begun by ``name``; raises ``InputError``."""
    if name in session.models:
        return name
    begun = [model for model in session.models if name and model.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise InputError(f"'{name}' may be {' or '.join(begun)}", "type more of the name")
    near = nearest(name, session.models)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(session.models)}"
    raise InputError(f"there is no model '{name}'", hint)


def model_offers(session: "Session", before: Sequence[str], begun: str) -> Iterable[Offer]:
    """The models not named yet."""
    return ((m.name, f"{m.backend} {m.path}") for m in session.models.values() if m.name not in before)


def number_offers(session: "Session", before: Sequence[str], begun: str) -> Iterable[Offer]:
    """The latest exchanges, newest first."""
    return (
        (f"#{x.id}", f"{x.model}: {shorten(x.prompt, 40)}")
        for x in reversed(session.exchanges[-50:])
        if f"#{x.id}" not in before
    )


async def recall(session: "Session", word: str) -> Exchange:
    """The exchange called ``word`` (``#18`` or ``18``); raises ``InputError``."""
    digits = word.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise InputError(
            f"'{word}' is not the number of an answer", "they look like #18; /history lists them"
        )
    return await session.recall(int(digits))


async def chosen_or_last(session: "Session", words: Sequence[str]) -> list[Exchange]:
    """The exchanges named, or those of the last line where none is; raises ``InputError``."""
    if words:
        return [await recall(session, word) for word in words]
    last = session.last_line()
    if not last:
        raise InputError("nothing has been asked yet", "type a prompt")
    return last


def shorten(text: str, width: int) -> str:
    """``text`` on one line, cut to ``width`` characters."""
    line = " ".join(text[: 4 * width].split())
    return line if len(line) <= width else line[: width - 1] + "…"
