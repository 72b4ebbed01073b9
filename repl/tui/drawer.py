"""The drawer between the answers and the prompt: what commands have to say, until it is dismissed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from repl.tui.lines import Line
from repl.tui.transcript import Position
from repl.tui.view import LineView

if TYPE_CHECKING:
    from repl.session.frontend import Output

SHARE = 0.45
"""The most of the screen's height that it takes."""
CLOSE = " Esc closes "


class Drawer(LineView):
    """Hidden while it is empty."""

    HEADER = 1

    def __init__(self) -> None:
        super().__init__(id="drawer")
        self._title = ""

    def show(self, output: Output) -> None:
        """Add ``output`` and open, with its beginning in sight."""
        from repl.tui.outputs import block, title

        made = block(output, max(1, self.app.size.width - 2 * self.MARGIN))
        if not self.transcript.blocks:
            self._title = title(output)
            self.redraw_header()
        elif title(output):
            made.head[:0] = [Line(), Line(title(output), "title")]
        self.transcript.blocks.append(made)
        self.top = Position(len(self.transcript.blocks) - 1, 0, 0)
        self.fit()
        self.redraw()

    def close(self) -> bool:
        """Empty it; whether it was open."""
        was_open = self.display
        self.clear()
        self.display = False
        return was_open

    def fit(self) -> None:
        """Take the height that the lines need, up to a share of the screen."""
        width = max(1, self.app.size.width - 2 * self.MARGIN)
        most = max(2, int(self.app.size.height * SHARE))
        rows = sum(len(b[i].cuts(width)) for b in self.transcript.blocks for i in range(len(b)))
        self.styles.height = min(most, rows + self.HEADER)
        self.display = rows > 0

    def header_strip(self) -> Strip:
        """What it is about, a rule, and how to be rid of it."""
        width = self.size.width
        mark = CLOSE if width > 3 * len(CLOSE) else ""
        name = f"{self._title} " if self._title else ""
        fill = max(0, width - len(mark) - cell_len(name) - 2)
        words = ((" ", ""), (name, "title"), ("─" * fill, "rule"), (mark, "muted"), (" ", ""))
        segments = [Segment(text, self.style_of(style)) for text, style in words]
        return Strip(segments).adjust_cell_length(width, self.rich_style)
