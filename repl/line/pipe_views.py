"""How a pipe shows answers, one at a time and in order: as text, or as JSON events."""

import sys
from collections.abc import Sequence
from functools import partial

from repl.line import encode
from repl.line.outlet import Outlet
from repl.line.words import plain, remarks
from repl.messages import Event, Step
from repl.probe.figure import Figure
from repl.safe import visible, visible_line
from repl.session.exchange import Exchange
from repl.session.frontend import Notice, Output, Table

MOST_FAULTS = 20
"""Failures explained one by one; of the rest only the number."""


def say(text: str) -> None:
    """A diagnostic; ``text`` is safe already."""
    print(f"multigpu-repl: {text}", file=sys.stderr, flush=True)


class PipeView:
    """What both ways have in common: the failures, and which line of input asked."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.failed = 0
        """Lines and answers that failed."""
        self.answered = 0
        self.models: set[str] = set()
        """Who was asked."""
        self.line = 0
        """Number of the line of input that is being obeyed."""
        self._lines: dict[Exchange, int] = {}

    def asked(self, exchange: Exchange, *, several: bool) -> None:
        """The present line was sent to a model, one of ``several`` perhaps."""
        self._lines[exchange] = self.line
        self.models.add(exchange.model)

    def end(self, exchange: Exchange) -> None:
        """Count how it went."""
        del self._lines[exchange]
        self.failed += exchange.state in ("failed", "lost")
        self.answered += exchange.state == "finished"

    def notice(self, notice: Notice) -> None:
        """Show it; an error is a failure."""
        self.failed += notice.level == "error"
        self.show(notice)

    def show(self, output: Output) -> None:
        """Show what a command says."""
        raise NotImplementedError


class TextView(PipeView):
    """Bare answers and figures; everything else goes to standard error."""

    def __init__(self, outlet: Outlet, *, terminal: bool) -> None:
        super().__init__(outlet)
        self._named: set[int] = set()
        """Lines, by their first exchange, that several models answer."""
        self._told: set[str] = set()
        self._safe = visible if terminal else str
        self._text = ""
        """What is written of the present answer."""

    def asked(self, exchange: Exchange, *, several: bool) -> None:
        """Remember whether the model's name has to go with the answer."""
        super().asked(exchange, several=several)
        if several or exchange.line != exchange.id:
            self._named.add(exchange.line)

    def begin(self, exchange: Exchange) -> None:
        """Nothing is written yet: whether others answer the same line is known with the first token."""
        self._text = ""

    def event(self, exchange: Exchange, event: Event) -> None:
        """Write a token at once, unless a beam search might take it back."""
        if isinstance(event, Step) and exchange.params.beam == 1:
            self._put(exchange, event.text)

    def end(self, exchange: Exchange) -> None:
        """Write what is missing, and say on standard error what went wrong."""
        super().end(exchange)
        if exchange.state == "finished":
            text = exchange.answer.text
            if not text.startswith(self._text):
                self._say(f"answer #{exchange.id} was rewritten while it was being written; it follows again")
                self._break(exchange)
            self._put(exchange, text[len(self._text) :])
            self._break(exchange)
        elif self._text:
            self._break(exchange)
        self._remark(exchange)

    def _remark(self, exchange: Exchange) -> None:
        if exchange.error is not None and self.failed > MOST_FAULTS:
            return
        for remark in remarks(exchange):
            if remark not in self._told:
                self._say(remark)
        if exchange.error is None:
            self._told.update(remarks(exchange))  # a note is the same for every line
        elif self.failed == MOST_FAULTS:
            self._say("further failures are only counted")

    def _label(self, exchange: Exchange) -> str:
        return f"{exchange.model}\t" if exchange.line in self._named else ""

    def _put(self, exchange: Exchange, text: str) -> None:
        if not text:
            return
        label = self._label(exchange)
        start = "" if self._text else label
        self._text += text
        self.outlet.write(start + self._safe(text).replace("\n", f"\n{label}"))

    def _break(self, exchange: Exchange) -> None:
        self.outlet.write("\n" if self._text else f"{self._label(exchange)}\n")
        self._text = ""

    def show(self, output: Output) -> None:
        """A figure is an answer, everything else goes to standard error."""
        if isinstance(output, Figure):
            self.outlet.write(f"{visible_line(output.title)}\n{plain(output)}\n")
        elif isinstance(output, Table):  # its columns begin under its title, not beside the program's name
            self._say(f"{visible_line(output.title)}\n{plain(output)}")
        else:
            self._say(plain(output))

    def _say(self, text: str) -> None:
        """Between answers and never within one, where both streams go to one place, such as a terminal."""
        self.outlet.then(partial(say, text))


class JsonView(PipeView):
    """Every event as a line."""

    def begin(self, exchange: Exchange) -> None:
        """The first event."""
        self.outlet.write(encode.line(encode.asked(exchange, self._lines[exchange])))

    def event(self, exchange: Exchange, event: Event) -> None:
        """Any later event."""
        self.outlet.write(encode.line(encode.of(exchange, event)))

    def show(self, output: Output) -> None:
        """An event, too."""
        self.outlet.write(encode.line(encode.shown(output, self.line or None)))


class PipeFrontEnd:
    """What commands see of a pipe."""

    name = "a pipe"
    waits = True
    repaints = False

    def __init__(self, view: PipeView) -> None:
        self._view = view
        self.left = False
        """A command said to quit."""

    def show(self, output: Output) -> None:
        """Pass it on."""
        if isinstance(output, Notice):
            self._view.notice(output)
        else:
            self._view.show(output)

    def prefill(self, text: str) -> None:
        """There is nobody to edit anything."""
        self._view.notice(Notice("error", "a pipe has no input line to edit", "write the line anew"))

    def copy(self, text: str) -> bool:
        """There is no clipboard."""
        return False

    def set_theme(self, name: str) -> None:
        """There are no colours."""

    def themes(self) -> Sequence[str]:
        """There are no colours."""
        return ()

    def quit(self) -> None:
        """Read no further."""
        self.left = True

    def panes_changed(self) -> None:
        """There are no panes."""
