"""One exchange as a block of a pane: the prompt, the growing answer, and the line of figures under it.

Texts of people, models and replicas are made safe here, where they enter the pane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from repl.messages import Event, Failed, Finished, Lost, Rewound, Started, Step, Stopped
from repl.probe.figure import plural
from repl.safe import visible, visible_line
from repl.session.words import ending, pace, seed
from repl.tui.tokens.layer import Heat, Place, TokenLayer
from repl.tui.views.lines import Line, Span
from repl.tui.views.transcript import Block, Position
from repl.tui.words import foot

if TYPE_CHECKING:
    from repl.session.exchange import Exchange

LEAD = "> "


class AnswerBlock(Block):
    """Draws ``exchange``; feed it every event, then call ``settle`` once for the batch."""

    def __init__(self, exchange: Exchange, *, earlier: bool = False) -> None:
        prompt, *rest = visible(exchange.prompt).split("\n")
        lines = [Line(prompt, "prompt", LEAD), *(Line(text, "prompt", "  ") for text in rest)]
        if exchange.origin is not None:
            lines.append(Line(exchange.origin.words, "muted", "  "))
        super().__init__(lines, style="earlier" if earlier else "answer")
        if earlier:
            for line in lines:
                line.style = "earlier"
        self.exchange = exchange
        self.layer = TokenLayer(self)
        self.cursor: int | None = None
        """Index of the token under the cursor."""
        self.parting = ""
        """Where it parts from the answers beside it, in words."""
        self.parted_at: int | None = None
        """The token where it does."""
        self._stale = False
        self._rewound = False
        if exchange.answer.steps or exchange.done:
            self.rewrite(visible(exchange.answer.text))
        self.update_foot()

    # -- tokens ----------------------------------------------------------------------------------------------

    def set_heat(self, kind: Heat) -> None:
        """Colour the tokens by what they cost, or no longer."""
        if kind == self.layer.heat:
            return
        self.layer.heat = kind
        self._repaint()

    def place_of(self, index: int) -> Position:
        """The line of a token in this block and its character; the last part is that, and not a row.

        A token that was taken back stands at the end.
        """
        steps = self.exchange.answer.steps
        at = self.layer.places(steps, self.exchange.answer.text)[min(index, len(steps))]
        return Position(0, len(self.head) + at.line, at.at)

    def point(self, index: int | None) -> None:
        """Put the cursor on a token, or take it away."""
        self.layer.unpoint()
        self.cursor = index
        steps = self.exchange.answer.steps
        if index is not None and index < len(steps):
            found = self.layer.places(steps, self.exchange.answer.text)
            self.layer.point(found[index], found[index + 1])

    def token_at(self, line: int, character: int) -> int | None:
        """The token drawn at a character of a line of this block; None where there is none."""
        answer = self.exchange.answer
        number = line - len(self.head)
        if not 0 <= number < len(self.body):
            return None
        return self.layer.token_at(answer.steps, answer.text, Place(number, character))

    def _repaint(self) -> None:
        self.layer.rebuild(self.exchange.answer.steps, self.exchange.answer.text)
        if self.cursor is not None:
            self.point(self.cursor)

    # -- growing ---------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Take one event, in order."""
        match event:
            case Step() if not self._stale:
                self.layer.append(event)
            case Rewound() | Started() | Finished() | Stopped() | Failed() | Lost():
                self._stale = True
                self._rewound = isinstance(event, Rewound)

    def settle(self, where: str = "", waiting: int = 0) -> None:
        """Bring the block up to the state of the exchange.

        ``where`` names the device that answers; ``waiting`` counts the requests in the model's queue.
        """
        if self._stale:
            self.rewrite(visible(self.exchange.answer.text), "rewritten" if self._rewound else "")
        self.growing = not self.exchange.done
        if self._stale:
            self._repaint()
            self._stale = False
        self.update_foot(where, waiting)

    def update_foot(self, where: str = "", waiting: int = 0) -> None:
        """Write the lines under the answer anew."""
        exchange = self.exchange
        if exchange.done:
            lines = self._foot_when_done()
        else:
            lines = [self._figures(running(exchange, where, waiting, self.parting))]
        started = exchange.answer.started
        notes = list(exchange.notes)
        if started is not None and started.truncated:
            notes.append(f"{plural(started.truncated, 'token')} of the prompt cut off")
        lines += [Line(visible_line(note), "note", "note: ") for note in notes]
        self.foot = [*lines, Line()]

    def _foot_when_done(self) -> list[Line]:
        exchange = self.exchange
        lines: list[Line] = []
        for place, hypothesis in enumerate(exchange.answer.hypotheses[1:], 2):
            score = "" if hypothesis.score is None else f"{hypothesis.score:.3f}  "
            lines.append(Line(score + visible_line(hypothesis.text), "muted", f"{place}. "))
        error = exchange.error
        if error is not None:
            word = "lost" if exchange.state == "lost" else "failed"
            lines.append(Line(f"{word}: {visible_line(error.message)}", "error", "✗ "))
            if error.hint:
                lines.append(Line(visible_line(error.hint), "muted", "  "))
        lines.append(self._figures(figures(exchange, self.parting)))
        return lines

    def _figures(self, words: str) -> Line:
        mark = foot(self.parting)
        at = words.find(mark) if mark else -1
        style = "warning" if self.parting.startswith("≠") else "success"
        return Line(words, "foot", spans=[Span(at, at + len(mark), style)] if at >= 0 else ())


def running(exchange: Exchange, where: str, waiting: int, parting: str = "") -> str:
    """The foot of an answer that is not complete: its stage, where it runs, its number."""
    number = f"#{exchange.id}"
    if exchange.ticket is not None and exchange.ticket.stopping:
        return foot("◐ stopping", number)
    match exchange.state:
        case "queued":
            return foot("○ queued", f"{waiting} waiting" if waiting > 1 else "", number)
        case "placed":
            return foot("◐ reading the prompt", where, number)
        case _:
            return foot("● answering", where, parting, number)


def figures(exchange: Exchange, parting: str = "") -> str:
    """The foot of a complete answer, such as ``41 tok · 212 tok/s · first 9 ms · seed 7 · #18``."""
    rewrites = exchange.answer.rewrites
    stopped = exchange.state == "stopped"
    return foot(
        f"■ {ending(exchange) or 'stopped'}" if stopped else "",
        *pace(exchange),
        "" if stopped else ending(exchange),
        f"rewritten {rewrites} ×" if rewrites else "",
        parting,
        seed(exchange),
        f"#{exchange.id}",
    )
