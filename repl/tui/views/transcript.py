"""What a view scrolls through: blocks of logical lines, and the window of them that is on the screen.

Positions are (block, line, row), never absolute rows, so nothing has to be counted or wrapped that is not
shown: appending, scrolling and resizing cost the height of the window, however long the transcript.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len

from repl.tui.views.lines import Line, Span, mark

CARET = ("▏", "muted")
"""Behind an answer that grows."""
LINES_PER_BLOCK = 1 << 24
"""Stride of the vertical coordinate that selections use: unique to a line, and stable while others grow."""


class Row(NamedTuple):
    """One row of a window: a stretch of a logical line as it is drawn. Equal rows look the same."""

    text: str
    style: str
    lead: str
    lead_style: str
    indent: int
    spans: tuple[Span, ...]
    """Offsets count characters of ``text``."""
    tail: tuple[tuple[str, str], ...]
    """What is drawn behind the text, in its styles: a caret where the answer grows."""
    y: int
    """Coordinate of the line; see ``LINES_PER_BLOCK``."""
    start: int
    """Offset of ``text`` in the line."""
    left: int | None = None
    """Cells to scroll sideways; None for a row that is wrapped."""
    marks: bool = False
    """It stands for the heat of the row above it."""

    def cells_before(self, character: int) -> int:
        """Cells of ``text`` before a character of the line."""
        return cell_len(self.text[: character - self.start])


class Position(NamedTuple):
    """A row of a transcript."""

    block: int
    line: int
    row: int


class Block:
    """Lines that belong together: ``head``, a ``body`` that may grow, and ``foot``."""

    def __init__(self, head: Sequence[Line] = (), foot: Sequence[Line] = (), style: str = "answer") -> None:
        self.head = list(head)
        self.body: list[Line] = []
        self.foot = list(foot)
        self.style = style
        """Of the body."""
        self.growing = False

    def __len__(self) -> int:
        return len(self.head) + len(self.body) + len(self.foot)

    def __getitem__(self, index: int) -> Line:
        for part in (self.head, self.body):
            if index < len(part):
                return part[index]
            index -= len(part)
        return self.foot[index]

    @property
    def text(self) -> str:
        """The body."""
        return "\n".join(line.text for line in self.body)

    def append(self, text: str) -> None:
        """Add to the body's end."""
        if not text:
            return
        first, *rest = text.split("\n")
        if self.body:
            self.body[-1].append(first)
        else:
            self.body.append(Line(first, self.style))
        self.body += [Line(part, self.style) for part in rest]

    def rewrite(self, text: str, mark: str = "") -> None:
        """Make the body ``text``, touching only what differs; from there on in style ``mark``, if given."""
        lines = text.split("\n") if text else []
        same = 0
        for old, new in zip(self.body, lines, strict=False):
            if old.text != new or old.spans:
                break
            same += 1
        agreed = 0
        if mark and same < len(self.body) and same < len(lines):
            pairs = zip(self.body[same].text, lines[same], strict=False)
            agreed = next((at for at, (a, b) in enumerate(pairs) if a != b), len(lines[same]))
        del self.body[same:]
        for at, part in enumerate(lines[same:]):
            start = agreed if at == 0 else 0
            spans = (Span(start, len(part), mark),) if mark and start < len(part) else ()
            self.body.append(Line(part, self.style, spans=spans))


class Transcript:
    """A sequence of blocks, and the walk through their rows at a given width."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.left = 0
        """Cells that lines which are not wrapped are scrolled to the left."""

    def window(self, top: Position | None, width: int, height: int) -> tuple[list[Row], Position | None]:
        """The rows from ``top`` on, or the last ones if it is None.

        Returns the rows, at most ``height``, and where they begin: None when the end is in them, which is to
        follow it. A ``top`` that no longer exists moves to the nearest row before it.
        """
        if top is not None:
            top = self._existing(top, width)
            rows = list(self._rows_from(top, width, height + 1))
            if len(rows) > height:
                return rows[:height], top
        return self._last_rows(width, height), None

    def top_of_end(self, width: int, height: int) -> Position:
        """Where the window begins that shows the end."""
        last = list(islice(self._backwards(width), max(1, height)))
        return last[-1] if last else Position(0, 0, 0)

    def moved(self, top: Position, rows: int, width: int) -> Position:
        """``top`` moved by ``rows``: down if positive, up if negative; stays within the transcript."""
        top = self._existing(top, width)
        walk = self._backwards(width, top) if rows < 0 else self._forwards(width, top)
        return next(reversed(list(islice(walk, abs(rows) + 1))), top)

    def extract(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """The text between two (coordinate, character) places, leads left out."""
        out: list[str] = []
        for block in range(max(0, start[0] // LINES_PER_BLOCK), len(self.blocks)):
            if block * LINES_PER_BLOCK > end[0]:
                break
            for index in range(len(self.blocks[block])):
                y = block * LINES_PER_BLOCK + index
                if start[0] <= y <= end[0]:
                    text = self.blocks[block][index].text
                    left = start[1] if y == start[0] else 0
                    out.append(text[left : end[1] if y == end[0] else len(text)])
        return "\n".join(out)

    def _existing(self, at: Position, width: int) -> Position:
        if not self.blocks:
            return Position(0, 0, 0)
        block = min(at.block, len(self.blocks) - 1)
        if not len(self.blocks[block]):
            return Position(block, 0, 0)
        line = min(at.line, len(self.blocks[block]) - 1)
        return Position(block, line, min(at.row, self.blocks[block][line].height(width) - 1))

    def _forwards(self, width: int, at: Position) -> Iterator[Position]:
        line, row = at.line, at.row
        for number in range(at.block, len(self.blocks)):
            block = self.blocks[number]
            while line < len(block):
                for index in range(row, block[line].height(width)):
                    yield Position(number, line, index)
                line, row = line + 1, 0
            line = row = 0

    def _backwards(self, width: int, at: Position | None = None) -> Iterator[Position]:
        last = len(self.blocks) - 1 if at is None else at.block
        for number in range(last, -1, -1):
            block = self.blocks[number]
            inside = at is not None and number == at.block
            for line in range(at.line if at is not None and inside else len(block) - 1, -1, -1):
                if line >= len(block):
                    continue
                here = at is not None and inside and line == at.line
                row = at.row if at is not None and here else block[line].height(width) - 1
                for index in range(row, -1, -1):
                    yield Position(number, line, index)

    def _rows_from(self, at: Position, width: int, count: int) -> Iterator[Row]:
        for position in islice(self._forwards(width, at), count):
            yield self._row(position, width)

    def _last_rows(self, width: int, height: int) -> list[Row]:
        return [self._row(position, width) for position in islice(self._backwards(width), height)][::-1]

    def _row(self, at: Position, width: int) -> Row:
        block = self.blocks[at.block]
        line = block[at.line]
        number, below = divmod(at.row, 2) if line.marked else (at.row, 0)
        start, end = line.row(number, width)
        last = number == len(line.cuts(width)) - 1
        tail = line.tail if last else ()
        if below:
            signs = "".join(mark(style) for _, style in tail)
            text, style, tail = line.marks(start, end) + signs, "muted", ()
            spans: tuple[Span, ...] = ()
        else:
            text, style, spans = line.text[start:end], line.style, line.styled(start, end)
            if last and block.growing and block.body and at.line == len(block.head) + len(block.body) - 1:
                tail = (*tail, CARET)
        return Row(
            text=text,
            style=style,
            lead=line.lead if at.row == 0 else "",
            lead_style=line.lead_style,
            indent=line.indent(width),
            spans=spans,
            tail=tail,
            y=at.block * LINES_PER_BLOCK + at.line,
            start=start,
            left=self.left if line.whole else None,
            marks=bool(below),
        )
