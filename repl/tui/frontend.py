"""The app as the session sees it: where commands show their outcome, and who hears of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from repl.tui.frame import LOW
from repl.tui.themes import OWN
from repl.tui.words import join

if TYPE_CHECKING:
    from repl.messages import Event
    from repl.session.exchange import Exchange
    from repl.session.frontend import Notice, Output
    from repl.tui.app import ReplApp


class TuiFrontEnd:
    """Both ``FrontEnd`` and ``Listener``."""

    name = "tui"
    waits = False
    repaints = True

    def __init__(self, app: ReplApp) -> None:
        self._app = app
        self._remarks: list[Notice] = []
        """Those of the line being carried out."""
        self.late: list[Notice] = []
        """Those that came after the app had left the screen."""

    # -- FrontEnd --------------------------------------------------------------------------------------------

    def show(self, output: Output) -> None:
        """Remarks that fit on a row go into the footer, everything else into the drawer."""
        from repl.session.frontend import Notice

        if isinstance(output, Notice) and output.level == "info":
            self._remarks.append(output)
            words = join(*(part for remark in self._remarks for part in (remark.text, remark.hint)))
            size = self._app.size
            if "\n" not in words and cell_len(words) < size.width - 4 and size.height >= LOW:
                self._app.frame.say(words)
                return
        self._app.frame.say("")
        earlier = [remark for remark in self._remarks if remark is not output]
        self.begin_line()
        for shown in (*earlier, output):
            self._app.drawer.show(shown)

    def begin_line(self) -> None:
        """What is shown from now on belongs to another line."""
        self._remarks.clear()

    def end_line(self) -> None:
        """A line was carried out: show what it stopped or changed, even where no replica says anything."""
        self._app.pool_changed()

    def prefill(self, text: str) -> None:
        """Put ``text`` into the prompt."""
        self._app.prefill(text)

    def copy(self, text: str) -> bool:
        """Hand ``text`` to the terminal's clipboard (OSC 52); whether it obeys cannot be known."""
        self._app.copy_to_clipboard(text)
        return True

    def set_theme(self, name: str) -> None:
        """Change the colours."""
        self._app.choose_theme(name)

    def themes(self) -> Sequence[str]:
        """The app's own themes, then Textual's."""
        own = [theme.name for theme in OWN]
        return [*own, *sorted(set(self._app.available_themes) - set(own))]

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
        self._app.comparing.began(exchange)
        self._app.pool_changed()

    def event(self, exchange: Exchange, event: Event) -> None:
        """Hand it to the pane, to be drawn with the next frame."""
        self._app.panes.pane(exchange.model).post(exchange, event)
        self._app.comparing.touch(exchange)

    def ended(self, exchange: Exchange) -> None:
        """Its slot is free again."""
        self._app.pool_changed()

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for."""
        if self._app.is_running:
            self.show(notice)
        else:
            self.late.append(notice)
