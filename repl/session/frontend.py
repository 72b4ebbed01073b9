"""What the session asks of a front end, and what it hands it to show.

Texts are raw: they may come from a model, a file name or a checkpoint. The front end makes them safe where
they enter it (``repl.safe``) and must read no markup in them.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from repl.messages import Event
from repl.probe.figure import Figure
from repl.session.exchange import Exchange


class Notice(msgspec.Struct, frozen=True):
    """A sentence or two."""

    level: Literal["info", "warning", "error"]
    text: str
    hint: str = ""
    """What to do next."""


class Table(msgspec.Struct, frozen=True):
    """Rows under column headings; every row has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Lines to show below it."""


class Text(msgspec.Struct, frozen=True):
    """A longer text."""

    title: str
    text: str
    format: Literal["plain", "markdown"] = "plain"


Output = Notice | Table | Text | Figure
"""A figure's rows are safe already; the other texts are raw."""


class FrontEnd(Protocol):
    """One user interface, as a command sees it. All methods are called on the event loop."""

    name: str
    waits: bool
    """Nobody types: each line is carried out to its end before the next is begun."""
    repaints: bool
    """Answers that are on the screen take on what ``panes_changed`` changes, their colours too."""

    def show(self, output: Output) -> None:
        """Show the outcome of a command."""
        ...

    def prefill(self, text: str) -> None:
        """Put ``text`` into the input, ready to be edited and sent."""
        ...

    def copy(self, text: str) -> bool:
        """Put ``text`` on the clipboard; False where that is impossible."""
        ...

    def set_theme(self, name: str) -> None:
        """Change to one of ``themes``."""
        ...

    def themes(self) -> Sequence[str]:
        """Names of the themes there are."""
        ...

    def quit(self) -> None:
        """Leave; the owner of the session closes it."""
        ...

    def panes_changed(self) -> None:
        """The models shown, their order or what belongs in their panes changed."""
        ...


class Listener(Protocol):
    """Is told of everything that happens to answers, on the event loop, in order."""

    def started(self, exchange: Exchange) -> None:
        """A line was sent to a model; always comes before its first event."""
        ...

    def event(self, exchange: Exchange, event: Event) -> None:
        """One event, the terminal one included; ``exchange.answer`` holds it already."""
        ...

    def ended(self, exchange: Exchange) -> None:
        """After its terminal event, once for each exchange."""
        ...

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for: the record cannot be written, say."""
        ...
