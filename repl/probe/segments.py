"""How several tokenizers cut one text, their tokens in line with the text's bytes."""

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

import msgspec
from rich.cells import cell_len

from repl.probe.cells import units
from repl.probe.figure import Figure, Row, Span, piece_text, plural
from repl.probe.table import cut, flow, table
from repl.safe import visible_line


class Segmentation(msgspec.Struct, frozen=True, kw_only=True):
    """A text as one model's tokens."""

    model: str
    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    unknown: tuple[bool, ...]
    decoded: str
    """What the tokens decode to."""
    text: str
    """What was to be cut."""
    exchange: int | None = None

    DERIVED: ClassVar = ("bytes_per_token", "round_trip", "aligned")

    @property
    def bytes_per_token(self) -> float | None:
        """Of the text; None without tokens."""
        return len(self.text.encode()) / len(self.ids) if self.ids else None

    @property
    def round_trip(self) -> bool:
        """The tokens decode to the text."""
        return self.decoded == self.text

    @property
    def lead(self) -> int:
        """Bytes before the text: the space that some tokenizers put there."""
        joined, text = b"".join(self.pieces), self.text.encode()
        return 1 if joined == b" " + text and joined != text else 0

    @property
    def aligned(self) -> bool:
        """The bytes of the tokens are the text's, but for a space before it."""
        return b"".join(self.pieces)[self.lead :] == self.text.encode()

    @property
    def begins(self) -> list[int]:
        """For each token the offset in the text where it begins."""
        return [max(0, at - self.lead) for at in accumulate(map(len, self.pieces), initial=0)][:-1]


class Segmentations(Figure, frozen=True, kw_only=True):
    """One text as several models read it."""

    name = "segmentations"

    text: str
    models: tuple[Segmentation, ...]

    @property
    def title(self) -> str:
        """How long the text is."""
        return f"tokens of {plural(len(self.text.encode()), 'byte')}, {plural(len(self.text), 'character')}"

    def rows(self, width: int) -> Sequence[Row]:
        """A table of counts, then the text with a row for each model, then the numbers of the tokens."""
        body = [_counts(found) for found in self.models]
        heading = ("", "tokens", "bytes/token", "unknown", "decoded again")
        rows = [
            *table(heading, body, right=(1, 2, 3), width=width),
            (),
            *_drawn(self.text, self.models, width),
        ]
        for found in self.models:
            rows += [(), (Span(visible_line(found.model), "strong"), Span("  tokens and their ids", "muted"))]
            spans = [
                Span(f"{piece_text(piece) or '∅'}:{token} ", "bad" if unknown else "")
                for token, piece, unknown in zip(found.ids, found.pieces, found.unknown, strict=True)
            ]
            rows += flow(spans, width)
        return rows


def _counts(found: Segmentation) -> list[Span | str]:
    unknown = sum(found.unknown)
    again = (
        Span("the same", "good")
        if found.round_trip
        else Span(f"≠ {cut(visible_line(found.decoded), 50)}", "warning")
    )
    rate = found.bytes_per_token
    return [
        Span(visible_line(found.model), "strong"),
        f"{len(found.ids):,}",
        "–" if rate is None else f"{rate:.2f}",
        Span(f"{unknown:,}" if unknown else "", "bad"),
        again,
    ]


def _drawn(text: str, models: Sequence[Segmentation], width: int) -> list[Row]:
    """Blocks of rows: the text, and under it each model's tokens, a bar where each begins.

    The columns are cut where any model begins a token; within a character each model's bars stand before
    it, one for each token that begins there.
    """
    lined = [found for found in models if found.aligned]
    label = max((cell_len(visible_line(found.model)) for found in lined), default=0) + 1
    cells = _columns(text.encode(), lined)
    found: list[Row] = []
    room = max(8, width - label)
    while cells:
        used = count = 0
        while count < len(cells) and (not count or used + cells[count].width <= room):
            used += cells[count].width
            count += 1
        block, cells = cells[:count], cells[count:]
        found.append((Span(" " * label), *(Span(cell.text_part, "strong") for cell in block)))
        for at, segmentation in enumerate(lined):
            name = visible_line(segmentation.model)
            bars = "".join(cell.part(at) for cell in block).rstrip()
            found.append((Span(name + " " * (label - cell_len(name)), "muted"), Span(bars)))
    apart = [found.model for found in models if not found.aligned]
    if apart:
        words = f"≠ not in line with the text: {', '.join(map(visible_line, apart))} changes it"
        found.append((Span(words, "warning"),))
    return found


class _Column:
    """One drawn character, with the tokens that begin in it by each model."""

    def __init__(self, text: str, models: int) -> None:
        self.text = text
        self.begun = [0] * models

    @property
    def bars(self) -> int:
        """Cells in front for the bars of the model that has most."""
        return max(self.begun, default=0)

    @property
    def width(self) -> int:
        return self.bars + cell_len(self.text)

    @property
    def text_part(self) -> str:
        return " " * self.bars + self.text

    def part(self, model: int) -> str:
        return ("│" * self.begun[model]).rjust(self.bars, " ") + self.text


def _columns(data: bytes, models: Sequence[Segmentation]) -> list[_Column]:
    """A column for each drawn character of the text."""
    pieces = [bytes((byte,)) for byte in data]
    begins = [found.begins for found in models]
    columns: list[_Column] = []
    for unit in units(pieces):
        column = _Column("·" if unit.text == " " else unit.text, len(models))
        first, last = unit.owners[0], unit.owners[-1]
        for at, offsets in enumerate(begins):
            column.begun[at] = sum(first <= offset <= last for offset in offsets)
        columns.append(column)
    return columns
