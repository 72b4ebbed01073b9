"""The lines that frame the answers: the header, the replicas, and the settings under the prompt.

Each is one widget that draws styled words. What they say is made by pure functions, so that it can be tested
without a screen; figures have fixed widths, so that nothing moves while they change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from repl.probe.figure import plural
from repl.safe import visible_line
from repl.tui.words import SIGNS, memory, state_words

if TYPE_CHECKING:
    from repl.devices import GpuReading
    from repl.pool.plan import ReplicaStatus

Words = Sequence[tuple[str, str]]
"""Text and the name of its style, one of ``STYLES`` or empty."""

STYLES = {
    "muted": "$foreground 70%",
    "strong": "bold",
    "success": "$success",
    "warning": "$warning",
    "error": "$error",
}
GAP = "   "


class Bar(Widget):
    """One or more rows of styled words, made anew for the width at hand whenever it is drawn."""

    def __init__(self, make: Callable[[int], Sequence[Words]], *, id: str) -> None:
        super().__init__(id=id)
        self._make = make

    def render(self) -> Content:
        """The words for the width there is."""
        rows = self._make(self.size.width)
        return Content("\n").join(
            Content.assemble(*((text, STYLES.get(style, "")) for text, style in words)) for words in rows
        )


class Counts(NamedTuple):
    """What the header tells of the pool."""

    models: int
    replicas: int
    queued: int


def header(name: str, counts: Counts, hidden: int, width: int) -> Words:
    """Program and configuration, the size of the pool, and where help is; less of it on a narrow screen."""
    title: Words = [(" multigpu-repl", "strong"), (f" · {visible_line(name)}", "muted")]
    middle = " · ".join(
        (plural(counts.models, "model"), plural(counts.replicas, "replica"), f"{counts.queued} queued")
    )
    if hidden:
        middle = f"{plural(hidden, 'pane')} not shown: F6 · " + middle
    for right in (f"{middle}   F1 help  ^P palette ", f"{middle} ", ""):
        space = width - sum(cell_len(text) for text, _ in title) - cell_len(right)
        if space >= 2:
            return [*title, (" " * space, ""), (right, "muted")]
    return [title[0]]


def replica_rows(
    replicas: Sequence[ReplicaStatus], readings: Mapping[str, GpuReading], width: int, most_rows: int
) -> list[Words]:
    """All replicas, with as much about each as fits into ``most_rows`` rows of ``width`` cells."""
    room = max(1, width - 2)
    names = max((cell_len(visible_line(r.model)) for r in replicas), default=0)
    slots = max((len(str(r.slots)) for r in replicas), default=0)
    for rows, level in ((1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (2, 2), (1, 3), (2, 3)):
        if rows > most_rows:
            continue
        cells = [replica_cell(r, readings.get(r.device), level, names, slots) for r in replicas]
        size = max((_width(cell) for cell in cells), default=0) + len(GAP)
        in_row = max(1, (room + len(GAP)) // size) if size <= room + len(GAP) else 0
        if in_row * rows >= len(cells):
            return [_row(cells[at : at + in_row], size) for at in range(0, len(cells), in_row)]
    return [summary(replicas)]


def replica_cell(
    status: ReplicaStatus, reading: GpuReading | None, level: int, names: int = 0, slots: int = 0
) -> Words:
    """One replica: ``cpu:0 ● lm 1/4  212 tok/s  0.3 GB``. Levels 1 to 3 leave out more and more.

    ``names`` is the width of the longest model's name, ``slots`` that of the largest number of slots.
    """
    sign = SIGNS[status.state]
    name = visible_line(status.model)
    cell = [(f"{status.device} ", "muted"), (sign.glyph, sign.style)]
    if level < 3:
        cell.append((" " + name + " " * (names - cell_len(name)), ""))
    figures = " " + f"{status.running}/{status.slots}".rjust(2 * slots + 1)
    if level < 2:
        figures += f" {status.tokens_per_second:5.0f} tok/s"
    if level < 1:
        figures += f"  {_memory(status, reading)}"
    words = state_words(status, brief=True)
    if not words:
        return [*cell, (figures, "muted")]
    room = cell_len(figures) - 1 if level else max(cell_len(figures) - 1, cell_len(words))
    return [*cell, (" " + clip(words, max(room, cell_len(status.state))).ljust(room), sign.style)]


def _memory(status: ReplicaStatus, reading: GpuReading | None) -> str:
    if reading is None:
        return f"{memory(status.memory):>8}"
    total = f"{reading.memory_total / 1e9:.0f} GB"
    return f"{reading.memory_used / 1e9:5.1f}/{total} {reading.utilisation * 100:3.0f} % GPU"


def summary(replicas: Sequence[ReplicaStatus]) -> Words:
    """All replicas in figures, for when there is no room for each: ``8 replicas  ● 6 up  ✗ 1 failed``."""
    words: list[tuple[str, str]] = [(f" {plural(len(replicas), 'replica')}", "muted")]
    up = sum(r.state in ("ready", "busy") for r in replicas)
    words += [("  ●", "success"), (f" {up} up", "muted")]
    for state in SIGNS:
        if state in ("ready", "busy"):
            continue
        count = sum(r.state == state for r in replicas)
        if count:
            words += [(f"  {SIGNS[state].glyph}", SIGNS[state].style), (f" {count} {state}", "muted")]
    running, slots = sum(r.running for r in replicas), sum(r.slots for r in replicas)
    rate = sum(r.tokens_per_second for r in replicas)
    return [*words, (f"  {running}/{slots} slots  {rate:.0f} tok/s", "muted")]


def footer(left: Words, settings: str, width: int) -> Words:
    """What is going on at the left, the settings in force at the right; what goes on has precedence."""
    used = sum(cell_len(text) for text, _ in left) + 1
    room = width - used - 4
    right = clip(settings, room) if room > 6 else ""
    space = max(0, width - used - cell_len(right) - 1)
    return [(" ", ""), *left, (" " * space, ""), (right, "muted")]


def _row(cells: Sequence[Words], size: int) -> Words:
    row: list[tuple[str, str]] = [(" ", "")]
    for cell in cells:
        row += [*cell, (" " * (size - _width(cell)), "")]
    return row


def _width(cell: Words) -> int:
    return sum(cell_len(text) for text, _ in cell)


def clip(text: str, room: int) -> str:
    """``text`` cut to ``room`` cells, with a mark where something is missing."""
    if cell_len(text) <= room:
        return text
    while text and cell_len(text) >= room:
        text = text[:-1]
    return text.rstrip() + "…"
