"""The strip beside the token under the cursor: what else could have stood there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Offset, Size
from textual.widget import Widget

from repl.tui.status import STYLES, Words

MARGIN = 1
"""Cells left free at either side."""


class TokenStrip(Widget):
    """Floats over the panes, near a cell of the screen."""

    def __init__(self) -> None:
        super().__init__(id="token")
        self._rows: Sequence[Words] = ()

    def show(self, rows: Sequence[Words], cell: Offset, height: int, screen: Size) -> None:
        """Show ``rows`` below the ``height`` rows from ``cell`` on, or above them where there is no room."""
        self._rows = rows
        width = min(screen.width, max(sum(cell_len(text) for text, _ in row) for row in rows) + 2 * MARGIN)
        below = cell.y + height
        fits = below + len(rows) <= screen.height
        y = below if fits or cell.y < len(rows) else cell.y - len(rows)
        self.styles.width = width
        self.styles.height = min(len(rows), screen.height - y)
        self.styles.offset = (max(0, min(cell.x - MARGIN, screen.width - width)), y)
        self.display = True
        self.refresh(layout=True)

    def hide(self) -> None:
        """Show nothing."""
        self.display = False

    def render(self) -> Content:
        """The rows, with their margin."""
        lines = [
            Content.assemble(" " * MARGIN, *((text, STYLES.get(style, "")) for text, style in words))
            for words in self._rows
        ]
        return Content("\n").join(lines)
