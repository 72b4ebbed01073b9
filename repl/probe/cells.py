"""Lays tokens out on terminal cells: which characters each begins in, and a mark under each.

What stands together on a screen, a character with its accents or an emoji of several parts, is one unit and
is never cut. Tokens may begin within it, or even within one character's bytes; the unit is then padded until
each of them has a cell for its mark.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from rich.cells import cell_len, split_graphemes

from repl.probe.figure import Row, Span
from repl.safe import visible_line

EMPTY = "∅"
"""Stands for a token without bytes, such as an end token."""
_GLYPHS = {"\n": "⏎", "\t": "⇥"}


@dataclass
class Unit:
    """What is drawn as one."""

    text: str
    """Safe for a terminal."""
    owners: list[int] = field(default_factory=list)
    """The tokens that have bytes in it."""
    starts: list[int] = field(default_factory=list)
    """Those that begin in it."""
    ends_row: bool = False
    """It is a line's end."""

    @property
    def width(self) -> int:
        """Cells, with one at least for each token that begins in it."""
        return max(cell_len(self.text), len(self.starts))


def units(pieces: Sequence[bytes]) -> list[Unit]:
    """The joined text as it is drawn. Bytes that are no UTF-8 are units of their own: ``\\xff``."""
    begins = list(accumulate(map(len, pieces), initial=0))
    found: list[Unit] = []
    token = offset = 0
    for text, size in _drawn(b"".join(pieces)):
        while token < len(pieces) and begins[token] == offset and not pieces[token]:
            found.append(Unit(EMPTY, [token], [token]))
            token += 1
        unit = Unit(_GLYPHS.get(text) or visible_line(_bare(text)), ends_row=text == "\n")
        if token and begins[token] > offset:
            unit.owners.append(token - 1)
        late: list[Unit] = []
        while token < len(pieces) and begins[token] < offset + size:
            if pieces[token]:
                unit.owners.append(token)
                unit.starts.append(token)
            else:
                late.append(Unit(EMPTY, [token], [token]))
            token += 1
        if text == " " and not any(pieces[owner].strip(b" ") for owner in unit.owners):
            unit.text = "·"
        found += [unit, *late]
        offset += size
    return found + [Unit(EMPTY, [at], [at]) for at in range(token, len(pieces))]


def lines(found: Sequence[Unit], width: int) -> list[list[Unit]]:
    """The units in rows of at most ``width`` cells, broken where tokens begin and behind line ends.

    Only a token wider than that is cut.
    """
    rows: list[list[Unit]] = [[]]
    used = 0
    for chunk in _chunks(found):
        size = sum(unit.width for unit in chunk)
        if used and used + size > width:
            rows.append([])
            used = 0
        for unit in chunk:
            if used and used + unit.width > width:
                rows.append([])
                used = 0
            rows[-1].append(unit)
            used += unit.width
        if chunk[-1].ends_row:
            rows.append([])
            used = 0
    return rows if rows[-1] or len(rows) == 1 else rows[:-1]


def text_row(row: Sequence[Unit], style: Callable[[Unit], str]) -> Row:
    """The text of a row; neighbours of one token and style are one span."""
    spans: list[Span] = []
    for unit in row:
        drawn, of = unit.text + " " * (unit.width - cell_len(unit.text)), style(unit)
        if spans and spans[-1].style == of and not unit.starts:
            spans[-1] = Span(spans[-1].text + drawn, of)
        else:
            spans.append(Span(drawn, of))
    return tuple(spans)


def mark_row(row: Sequence[Unit], mark: Callable[[int], str]) -> str:
    """A mark, one cell wide, where each token begins."""
    parts = []
    for unit in row:
        marks = "".join(mark(token) for token in unit.starts)
        parts.append(marks + " " * (unit.width - len(unit.starts)))
    return "".join(parts).rstrip()


def _chunks(found: Sequence[Unit]) -> Iterator[list[Unit]]:
    chunk: list[Unit] = []
    for unit in found:
        if chunk and (unit.starts or chunk[-1].ends_row):
            yield chunk
            chunk = []
        chunk.append(unit)
    if chunk:
        yield chunk


def _drawn(data: bytes) -> Iterator[tuple[str, int]]:
    """What is drawn as one, and how many bytes it has."""
    text = data.decode("utf-8", "surrogateescape")
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and not _alone(text[end]):
            end += 1
        for begin, until, _ in split_graphemes(text[at:end])[0] if end > at else ():
            part = text[at + begin : at + until]
            yield part, len(part.encode())
        if end < len(text):
            yield text[end], len(text[end].encode("utf-8", "surrogateescape"))
            end += 1
        at = end


def _alone(character: str) -> bool:
    """Whether it is drawn as a sign that stands for it."""
    return visible_line(character) != character


def _bare(text: str) -> str:
    """An accent without a letter gets a circle; a byte that is no UTF-8 is written out."""
    code = ord(text[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return text if cell_len(text) or _alone(text) else f"◌{text}"
