"""The drawer between the answers and the prompt: what commands have to say, until it is dismissed."""

from rich.segment import Segment
from textual.strip import Strip

from repl.session.frontend import Output
from repl.tui.outputs import block
from repl.tui.transcript import Position
from repl.tui.view import LineView

SHARE = 0.45
"""The most of the screen's height that it takes."""
CLOSE = " Esc closes "


class Drawer(LineView):
    """Hidden while it is empty."""

    HEADER = 1

    def show(self, output: Output) -> None:
        """Add ``output`` and open."""
        if self.transcript.blocks:
            self.transcript.blocks[-1].foot = []
        self.transcript.blocks.append(block(output))
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
        """A rule, and how to be rid of it."""
        width = self.size.width
        mark = CLOSE if width > 3 * len(CLOSE) else ""
        rule = Segment("─" * max(0, width - len(mark) - 2), self.style_of("rule"))
        return Strip(
            [Segment(" "), rule, Segment(mark, self.style_of("muted")), Segment(" ")]
        ).adjust_cell_length(width, self.rich_style)
