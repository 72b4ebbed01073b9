"""Tells on standard error how a batch run goes: a bar on a terminal, else a line now and then."""

import asyncio
import sys
from typing import TYPE_CHECKING, TextIO

from repl.batch.journal import Mark
from repl.batch.record import Record
from repl.batch.source import Item
from repl.pool import ReplicaStatus
from repl.probe.figure import plural
from repl.safe import visible_line

if TYPE_CHECKING:
    from rich.progress import Progress

INTERVAL = 10.0
"""Seconds between two lines where there is no bar."""
MOST_FAULTS = 20
"""Bad lines named one by one; the rest only counted, since all of them are in the output."""


def clock(seconds: float) -> str:
    """``3:20`` or ``1:03:20``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Report:
    """Counts, and says what deserves to be said at once. Subclasses show the progress."""

    def __init__(self, source: str, size: int | None, begun: Mark, stream: TextIO | None = None) -> None:
        self._source = source
        self._size = size
        """Bytes of input, where that is known."""
        self._begun = begun
        self._mark = begun
        self._position = 0
        self._first_position: int | None = None
        self._stream = stream or sys.stderr
        self._faults = 0
        self._states: dict[str, str] = {}
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()

    def wrote(self, mark: Mark, item: Item) -> None:
        """Another line is done."""
        self._mark = mark
        if self._first_position is None:
            self._first_position = item.raw.end - item.raw.length
        self._position = item.raw.end
        self.show()

    def failed(self, record: Record) -> None:
        """Name the line that got no answer."""
        self._faults += 1
        if self._faults > MOST_FAULTS or record.error is None:
            return
        hint = f" ({record.error.hint})" if record.error.hint else ""
        self.say(f"{self._source}:{record.item.number}: {record.model}: {record.error.message}{hint}")
        if self._faults == MOST_FAULTS:
            self.say("further lines that fail are only counted; the output names them all")

    def replica(self, status: ReplicaStatus) -> None:
        """Say when a replica fails or is restarted."""
        if self._states.get(status.name) == status.state:
            return
        self._states[status.name] = status.state
        if status.state in ("failed", "restarting"):
            cause = f": {status.error.message}" if status.error is not None else ""
            self.say(f"replica {status.name} {status.state}{cause}")

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._started

    @property
    def fraction(self) -> float | None:
        """Of the input, 0 to 1."""
        return self._position / self._size if self._size else None

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far."""
        if self._size is None or self._first_position is None:
            return None
        done = self._position - self._first_position
        return self.elapsed * (self._size - self._position) / done if done else None

    def figures(self) -> str:
        """Rates of this sitting."""
        elapsed = max(self.elapsed, 1e-9)
        records = self._mark.records - self._begun.records
        tokens = self._mark.tokens - self._begun.tokens
        failed = f", {self._mark.failed:,} failed" if self._mark.failed else ""
        return f"{records / elapsed:,.1f} answers/s, {tokens / elapsed:,.0f} tok/s{failed}"

    def summary(self) -> str:
        """One line for the end."""
        mark = self._mark
        before = f" ({self._begun.lines:,} of them earlier)" if self._begun.lines else ""
        lines, tokens = plural(mark.lines, "line"), plural(mark.tokens, "token")
        return f"{lines}{before}, {tokens} in {clock(self.elapsed)}: {self.figures()}"

    def say(self, message: str) -> None:
        """A line of its own."""
        print(f"multigpu-repl: {visible_line(message)}", file=self._stream, flush=True)

    def show(self) -> None:
        """Bring the progress up to date."""

    def close(self) -> None:
        """Take it away."""


class Lines(Report):
    """For a log: a line every ``INTERVAL`` seconds."""

    _shown = 0.0

    def show(self) -> None:
        """Print if it is time."""
        if self.elapsed - self._shown < INTERVAL:
            return
        self._shown = self.elapsed
        part = f" ({self.fraction:.0%})" if self.fraction is not None else ""
        left = f", {clock(self.left)} left" if self.left is not None else ""
        self.say(f"{plural(self._mark.lines, 'line')}{part}, {self.figures()}{left}")


class Bar(Report):
    """For a terminal."""

    _bar: "Progress | None" = None

    def show(self) -> None:
        """Move the bar, which is made when the first answer is there."""
        if self._bar is None:
            self._bar = self._make()
        left = f"{clock(self.left)} left" if self.left is not None else ""
        self._bar.update(
            self._task,
            completed=self._position,
            lines=plural(self._mark.lines, "line"),
            figures=self.figures(),
            left=left,
        )

    def _make(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = [BarColumn(bar_width=30), TaskProgressColumn()] if self._size else []
        texts = [
            TextColumn("{task.fields[" + name + "]}", markup=False) for name in ("lines", "figures", "left")
        ]
        bar = Progress(*columns, *texts, console=Console(file=self._stream), transient=True)
        self._task = bar.add_task("", total=self._size, lines="", figures="", left="")
        bar.start()
        return bar

    def say(self, message: str) -> None:
        """Above the bar."""
        if self._bar is None:
            super().say(message)
        else:
            self._bar.console.print(f"multigpu-repl: {visible_line(message)}", markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def report(source: str, size: int | None, begun: Mark, *, quiet: bool) -> Report:
    """The one that suits where standard error goes; a quiet one only names faults."""
    if quiet:
        return Report(source, size, begun)
    return (Bar if sys.stderr.isatty() else Lines)(source, size, begun)
