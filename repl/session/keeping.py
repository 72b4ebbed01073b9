"""A front end that also keeps the figures it shows, for ``/export``."""

from collections.abc import Sequence

from repl.probe.figure import Figure
from repl.session.frontend import FrontEnd, Output

MOST = 500
"""Figures kept; the oldest go first."""


class Keeping:
    """A ``FrontEnd`` in front of another."""

    def __init__(self, ui: FrontEnd, kept: list[Figure]) -> None:
        self.name = ui.name
        self.waits = ui.waits
        self.repaints = ui.repaints
        self._ui = ui
        self._kept = kept

    def show(self, output: Output) -> None:
        """Keep it, if it is a figure, and show it."""
        if isinstance(output, Figure):
            self._kept.append(output)
            del self._kept[:-MOST]
        self._ui.show(output)

    def prefill(self, text: str) -> None:
        """Passed on, as all below."""
        self._ui.prefill(text)

    def copy(self, text: str) -> bool:
        """Passed on."""
        return self._ui.copy(text)

    def set_theme(self, name: str) -> None:
        """Passed on."""
        self._ui.set_theme(name)

    def themes(self) -> Sequence[str]:
        """Passed on."""
        return self._ui.themes()

    def quit(self) -> None:
        """Passed on."""
        self._ui.quit()

    def panes_changed(self) -> None:
        """Passed on."""
        self._ui.panes_changed()
