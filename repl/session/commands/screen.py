"""Commands about the program itself."""

from typing import TYPE_CHECKING

from repl.session.commands.base import Command, say
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session


async def _theme(session: "Session", ui: FrontEnd, argument: str) -> None:
    themes = list(ui.themes())
    if not themes:
        raise InputError(f"{ui.name} has no themes")
    if not argument:
        say(ui, f"themes: {', '.join(themes)}", "/theme NAME changes it")
        return
    if argument not in themes:
        near = nearest(argument, themes)
        hint = f"did you mean {near}?" if near else f"known are {', '.join(themes)}"
        raise InputError(f"there is no theme '{argument}'", hint)
    ui.set_theme(argument)


def _theme_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    return () if before else ((name, "theme") for name in session.themes)


async def _quit(session: "Session", ui: FrontEnd, argument: str) -> None:
    ui.quit()


COMMANDS = (
    Command(name="theme", usage="[NAME]", help="change the colours", handler=_theme, offers=_theme_offers),
    Command(
        name="quit",
        help="leave; everything is in the record, and --resume goes on",
        aliases=("exit", "q"),
        handler=_quit,
    ),
)
