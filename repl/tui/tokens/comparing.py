"""Follows the answers that stand side by side, and tells their panes where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len

from repl.tui.status import Bar, Words
from repl.tui.tokens.parting import Cell, Parting, profile, strip, words

if TYPE_CHECKING:
    from repl.session.exchange import Exchange
    from repl.tui.clock import FrameClock
    from repl.tui.views.panes import Panes


class ComparingApp(Protocol):
    """What it needs of the app."""

    clock: FrameClock
    panes: Panes


class Comparing:
    """Belongs to the app; drawn with the frame clock, like everything that answers change."""

    def __init__(self, app: ComparingApp) -> None:
        self._app = app
        self._lines: dict[int, dict[str, Exchange]] = {}
        """By line, then by model, the answers that stand beside each other."""
        self._partings: dict[int, Parting] = {}
        self._touched: set[int] = set()
        self._latest: int | None = None
        """The line asked last of those with several answers."""
        self._cells: list[Cell] = []
        self.bar = Bar(self._rows, id="parting")

    def began(self, exchange: Exchange) -> None:
        """An answer was asked for; those that a command makes of others are not compared."""
        if exchange.origin is not None or exchange.request.task != "generate":
            return
        beside = self._lines.setdefault(exchange.line, {})
        beside[exchange.model] = exchange
        if len(beside) > 1:
            self._partings[exchange.line] = Parting(tuple(beside.values()))
            self._latest = exchange.line

    def touch(self, exchange: Exchange) -> None:
        """Something happened to an answer."""
        if exchange.line in self._partings:
            self._touched.add(exchange.line)
            self._app.clock.wake(self)

    def draw_news(self) -> None:
        """Compare what has grown since the last frame."""
        touched, self._touched = self._touched, set()
        for line in touched:
            parting = self._partings[line]
            if parting.update():
                self._mark(parting)
            if line == self._latest:
                self._measure(parting)
            if all(x.done for x in parting.exchanges):
                del self._lines[line]
                if line != self._latest:
                    del self._partings[line]

    def _mark(self, parting: Parting) -> None:
        for exchange, token in zip(parting.exchanges, parting.tokens, strict=True):
            said = f"≠ from token {token}" if token is not None else "= the same" if parting.same else ""
            pane = self._app.panes.made(exchange.model)
            if pane is not None:
                pane.show_parting(exchange, said, token)

    def _measure(self, parting: Parting) -> None:
        if not self.shown:
            return
        a, b = parting.exchanges
        self._cells = profile(a.answer.steps, b.answer.steps, complete=a.done and b.done)
        self.bar.refresh()

    # -- the strip -------------------------------------------------------------------------------------------

    @property
    def shown(self) -> bool:
        """Two panes are on the screen, and the line asked last went to both."""
        parting = self._partings.get(self._latest) if self._latest is not None else None
        panes = {pane.model for pane in self._app.panes.all if pane.display}
        return parting is not None and len(panes) == 2 and {x.model for x in parting.exchanges} == panes

    def lay_out(self) -> None:
        """Show the strip, or take it away."""
        if self.bar.display != self.shown:
            self.bar.display = self.shown
        if self.shown and self._latest is not None:
            self._measure(self._partings[self._latest])

    def _rows(self, width: int) -> Sequence[Words]:
        told = f"  {words(self._cells)}" if self._cells else ""
        told = told if cell_len(told) < width // 2 else ""
        return [[(" ", ""), *strip(self._cells, width - cell_len(told) - 2), (told, "muted")]]
