"""Where line mode prints: finished lines above the prompt, the growing line just over it.

Finished lines are left to the terminal for good. The line that still grows, or that a beam search may take
back, is drawn as part of the prompt and redrawn as it changes. A terminal that cannot move its cursor gets
the growing line a piece at a time instead.
"""

import asyncio
from typing import Protocol

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.output import Output

from repl.line.words import wrap

FRAME = 1 / 30
"""Seconds between two redraws while something grows."""
TAIL_ROWS = 4
"""Of the growing line, so many rows are shown."""


class Screen(Protocol):
    """Takes text that is safe for a terminal."""

    def print(self, lines: str) -> None:
        """Whole lines, each with its end."""
        ...

    def grow(self, line: str) -> None:
        """The line that still grows is now this; empty when there is none."""
        ...

    def flush(self) -> None:
        """Nothing may be kept back any more: the prompt has gone."""
        ...


class LiveScreen:
    """A terminal with a prompt on it."""

    def __init__(self, app: "Application[str]") -> None:
        self._app = app
        self._lines: list[str] = []
        self._growing = ""
        self._drawn = ""
        self._frame: asyncio.TimerHandle | None = None

    def print(self, lines: str) -> None:
        """Shown with the next frame."""
        self._lines.append(lines)
        self._due()

    def grow(self, line: str) -> None:
        """Shown with the next frame."""
        self._growing = line
        self._due()

    def tail(self, columns: int) -> str:
        """The last rows of the growing line, to be drawn above the prompt."""
        if not self._drawn or self._app.is_done:
            return ""
        return "".join(f"{row}\n" for row in wrap(self._drawn, columns)[-TAIL_ROWS:])

    def changed(self) -> None:
        """Something else on the screen is to be drawn anew."""
        self._due()

    def flush(self) -> None:
        """Print what is left; the prompt is not on the screen."""
        if self._frame is not None:
            self._frame.cancel()
            self._frame = None
        self._drawn = ""
        self._write()

    def _due(self) -> None:
        if self._frame is None:
            self._frame = asyncio.get_running_loop().call_later(FRAME, self._draw)

    def _draw(self) -> None:
        self._frame = None
        if not self._app.is_running:
            self._write()
        elif self._lines:
            run_in_terminal(self._write)  # takes the prompt away and draws it again below
        else:
            self._drawn = self._growing
            self._app.invalidate()

    def _write(self) -> None:
        lines, self._lines = "".join(self._lines), []
        self._drawn = self._growing
        if lines:
            write(self._app.output, lines)


class PlainScreen:
    """A terminal that only knows how to print on (``TERM=dumb``); there is no prompt while answers come."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown = ""

    def print(self, lines: str) -> None:
        """The first line may be the one that has been growing."""
        self._continue(lines)
        self._shown = ""

    def grow(self, line: str) -> None:
        """Print what is new of it."""
        self._continue(line)
        self._shown = line

    def flush(self) -> None:
        """Nothing is ever kept back."""

    def _continue(self, text: str) -> None:
        if not text.startswith(self._shown):
            write(self._output, "\n")
            self._shown = ""
        write(self._output, text[len(self._shown) :])


def write(output: Output, text: str) -> None:
    """To the terminal, styles and all."""
    if text:
        output.write_raw(text)
        output.flush()
