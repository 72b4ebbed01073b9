"""What a command is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from repl.session.frontend import FrontEnd

if TYPE_CHECKING:
    from repl.session.session import Session


class Completion(msgspec.Struct, frozen=True):
    """Something that can stand at the end of the line being typed."""

    text: str
    """Replaces the line from ``start`` on."""
    help: str = ""
    start: int = 0


Complete = Callable[["Session", str], Sequence[Completion]]
"""Given the argument typed so far; ``start`` counts from the beginning of the argument."""
Handler = Callable[["Session", FrontEnd, str], Awaitable[None]]
"""Given the argument without surrounding white space; raises ``InputError``."""


def nothing(session: "Session", argument: str) -> Sequence[Completion]:
    """The completer of a command without arguments."""
    return ()


@dataclass(frozen=True)
class Command:
    """One command, as every front end offers it."""

    name: str
    help: str
    """One line."""
    handler: Handler
    usage: str = ""
    """The arguments, such as ``[#id]``."""
    details: str = ""
    """Paragraphs for ``/help NAME``."""
    aliases: tuple[str, ...] = ()
    complete: Complete = nothing
