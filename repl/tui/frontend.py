"""The app as the session sees it: where commands show their outcome, and who hears of answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repl.messages import Event
from repl.session.exchange import Exchange
from repl.session.frontend import Notice, Output

if TYPE_CHECKING:
    from repl.tui.app import ReplApp


class TuiFrontEnd:
    """Both ``FrontEnd`` and ``Listener``."""

    name = "tui"

    def __init__(self, app: "ReplApp") -> None:
        self._app = app

    # -- FrontEnd --------------------------------------------------------------------------------------------

    def show(self, output: Output) -> None:
        """A short remark goes under the prompt, everything else into the drawer."""
        self._app.show_output(output)

    def prefill(self, text: str) -> None:
        """Put ``text`` into the prompt."""
        self._app.prefill(text)

    def copy(self, text: str) -> bool:
        """Hand ``text`` to the terminal's clipboard (OSC 52); whether it obeys cannot be known."""
        self._app.copy_to_clipboard(text)
        return True

    def set_theme(self, name: str) -> None:
        """Change the colours."""
        self._app.theme = name

    def themes(self) -> Sequence[str]:
        """The app's own themes, then Textual's."""
        return self._app.theme_names()

    def quit(self) -> None:
        """Leave."""
        self._app.action_leave()

    def panes_changed(self) -> None:
        """Show the panes of the comparison."""
        self._app.show_comparison()

    # -- Listener --------------------------------------------------------------------------------------------

    def started(self, exchange: Exchange) -> None:
        """Show the prompt in its pane."""
        self._app.panes.pane(exchange.model).show(exchange)
        self._app.pool_changed()

    def event(self, exchange: Exchange, event: Event) -> None:
        """Hand it to the pane, to be drawn with the next frame."""
        self._app.panes.pane(exchange.model).post(exchange, event)

    def ended(self, exchange: Exchange) -> None:
        """Its slot is free again."""
        self._app.pool_changed()

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for."""
        self._app.show_output(notice)
