"""The drawer between the answers and the prompt: what commands have to say, until it is dismissed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.geometry import Size
from textual.strip import Strip

from repl.tui import keymap
from repl.tui.status import Bar
from repl.tui.views.lines import Line
from repl.tui.views.transcript import Block, Position
from repl.tui.views.view import LineView

if TYPE_CHECKING:
    from repl.session.frontend import Output

SHARE = 0.45
"""The most of the screen's height that it takes by itself."""
TALL = 0.85
"""The most that it takes when it is asked to."""
OTHERS = 3
"""Rows that it leaves to others beside the bars: a pane's head, the prompt and the footer."""
CLOSE = "Esc closes"
PAGES = "PageDown"
SIDEWAYS = "F6 then →"


class Drawer(LineView):
    """Hidden while it is empty."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.DRAWER)
    HEADER = 1
    TYPES_ON = True

    def __init__(self) -> None:
        super().__init__(id="drawer")
        self._outputs: list[Output] = []
        self._laid_out = 0
        """The width that the outputs are laid out for."""
        self._share = SHARE
        self._gathering = False
        """What is shown now belongs to what was shown in the same moment."""
        self._screen = Size(0, 0)

    def show(self, output: Output) -> None:
        """Add ``output`` and open, with its beginning in sight, or that of what came with it."""
        if not self._outputs:
            self.transcript.left = 0
            self._screen = self.app.size
        self._outputs.append(output)
        self._laid_out = self._width
        self.transcript.blocks.append(self._block(len(self._outputs) - 1))
        if not self._gathering:
            self.top = Position(len(self._outputs) - 1, 0, 0)
            self._gathering = True
            self.call_after_refresh(self._gathered)
        self.fit()
        self.redraw_header()
        self.redraw()

    def _gathered(self) -> None:
        self._gathering = False

    def close(self) -> bool:
        """Empty it; whether it was open."""
        was_open = self.display
        self._outputs.clear()
        self._share = SHARE
        self.clear()
        self.display = False
        return was_open

    def toggle_height(self) -> None:
        """Take most of the screen, or as little as before."""
        self._share = TALL if self._share == SHARE else SHARE
        self.fit()

    def fit(self, screen: Size | None = None) -> None:
        """Take the height that the lines need, up to a share of the screen; lay them out for its width.

        ``screen`` is its size where that has just changed.
        """
        self._screen = screen or self._screen
        if self._width != self._laid_out:
            self._laid_out = self._width
            top = self.top or Position(0, 0, 0)
            self.transcript.blocks[:] = [self._block(number) for number in range(len(self._outputs))]
            self.top = Position(top.block, 0, 0) if top.line else top
            self.action_columns(0)
        most = max(2, min(int(self._screen.height * self._share), self._screen.height - self._beside))
        self.styles.height = min(most, self._row_total() + self.HEADER)
        self.display = bool(self._outputs)

    def _block(self, number: int) -> Block:
        from repl.tui.views.outputs import block, title

        output = self._outputs[number]
        made = block(output, self._width)
        if number and title(output):
            made.head[:0] = [Line(), Line(title(output), "title")]
        return made

    @property
    def _width(self) -> int:
        return max(1, self._screen.width - 2 * self.MARGIN)

    @property
    def _beside(self) -> int:
        """Rows of all that stands round it, at the least."""
        bars = [bar.styles.height for bar in self.siblings if isinstance(bar, Bar) and bar.display]
        return OTHERS + sum(int(height.value) for height in bars if height is not None)

    def _row_total(self) -> int:
        return sum(b[i].height(self._width) for b in self.transcript.blocks for i in range(len(b)))

    def header_strip(self) -> Strip:
        """What it is about, a rule, what keys there are, and how to be rid of it."""
        from repl.tui.views.outputs import title

        width = self.size.width
        hints = [PAGES] if self._row_total() > max(0, self.size.height - self.HEADER) else []
        hints += [SIDEWAYS] if self.widest_whole_line > self.row_width else []
        mark = f" {' · '.join([*hints, CLOSE])} "
        if width < 2 * len(mark):
            mark = f" {CLOSE} " if width > 3 * len(CLOSE) else ""
        name = title(self._outputs[0]) if self._outputs else ""
        name = f"{name} " if name else ""
        fill = max(0, width - cell_len(mark) - cell_len(name) - 2)
        rule = ("━" if self.has_focus else "─") * fill
        words = ((" ", ""), (name, "title"), (rule, "rule"), (mark, "muted"), (" ", ""))
        segments = [Segment(text, self.style_of(style)) for text, style in words]
        return Strip(segments).adjust_cell_length(width, self.rich_style)
