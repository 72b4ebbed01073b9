"""The pane of one model: its name and replicas on a line, below it what was asked and answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.strip import Strip

from repl.safe import visible, visible_line
from repl.tui import keymap
from repl.tui.clock import FrameClock
from repl.tui.tokens.layer import Heat
from repl.tui.tokens.view import TokenView
from repl.tui.views.answers import AnswerBlock
from repl.tui.views.lines import Line
from repl.tui.views.transcript import Block, Position
from repl.tui.words import SIGNS, state_words

if TYPE_CHECKING:
    from repl.messages import Event
    from repl.pool.plan import ReplicaStatus
    from repl.session.exchange import Exchange

WELCOME = "Type a line below. It goes to every model shown here; @name sends it to one."
DETAIL_LINES = 12
"""How much of a dead replica's last output is shown."""


class Pane(TokenView):
    """Shows the answers of ``model``."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.PANE)
    HEADER = 1
    TYPES_ON = True

    def __init__(self, model: str, backend: str, clock: FrameClock) -> None:
        super().__init__()
        self.model = model
        self.backend = backend
        self._clock = clock
        self._news: deque[tuple[Exchange, Event | None]] = deque()
        self._answers: dict[Exchange, AnswerBlock] = {}
        self._replicas: tuple[ReplicaStatus, ...] = ()
        self._waiting = 0
        self._stopping: set[Exchange] = set()
        self._heat: Heat = "off"
        self._condition = Block(foot=[Line(WELCOME, "muted")])
        self.transcript.blocks.append(self._condition)

    # -- answers ---------------------------------------------------------------------------------------------

    def show(self, exchange: Exchange, *, earlier: bool = False) -> None:
        """Add an exchange at the end; ``earlier`` ones come from a past session and are drawn quietly."""
        if exchange in self._answers:
            return
        block = AnswerBlock(exchange, earlier=earlier)
        block.set_heat(self._heat)
        self._answers[exchange] = block
        self.transcript.blocks.insert(len(self.transcript.blocks) - 1, block)
        if not earlier:
            self.top = None
        self._describe_condition()
        self.redraw()

    def set_heat(self, kind: Heat) -> None:
        """Colour the tokens of all answers by what they cost, or no longer."""
        if kind != self._heat:
            self._heat = kind
            for block in self._answers.values():
                block.set_heat(kind)
            self.redraw()

    def show_parting(self, exchange: Exchange, words: str, token: int | None) -> None:
        """Say where an answer parts from those beside it."""
        block = self._answers.get(exchange)
        if block is not None and block.parting != words:
            block.parting, block.parted_at = words, token
            self.post(exchange)

    def post(self, exchange: Exchange, event: Event | None = None) -> None:
        """Note an event, or that something else about the exchange changed; drawn with the next frame."""
        self._news.append((exchange, event))
        self._clock.wake(self)

    def draw_news(self) -> None:
        """Draw everything noted since the last frame."""
        touched: dict[Exchange, AnswerBlock] = {}
        while self._news:
            exchange, event = self._news.popleft()
            block = self._answers.get(exchange)
            if block is not None:
                touched[exchange] = block
                if event is not None:
                    block.feed(event)
        for exchange, block in touched.items():
            block.settle(self._where(exchange), self._waiting)
        if any(exchange.error is not None for exchange in touched):
            self._describe_condition()
        if self.cursor is not None and self.cursor.block in touched.values():
            self.point()
        self.redraw()

    @property
    def running(self) -> list[Exchange]:
        """The exchanges of this pane that have not ended."""
        return [exchange for exchange in self._answers if not exchange.done]

    def _where(self, exchange: Exchange) -> str:
        if len(self._replicas) < 2 or exchange.ticket is None:
            return ""
        return next((r.device for r in self._replicas if r.name == exchange.ticket.replica), "")

    # -- scrolling with others -------------------------------------------------------------------------------

    def sight(self) -> tuple[int, int] | None:
        """The line whose answer the window begins in, and how many rows into it; None where it follows."""
        if self.top is None:
            return None
        block = self.transcript.blocks[self.top.block]
        if not isinstance(block, AnswerBlock):
            return None
        above = sum(block[at].height(self.row_width) for at in range(self.top.line))
        return block.exchange.line, above + self.top.row

    def show_line(self, line: int, rows: int) -> None:
        """Scroll to as many rows into the answer to a line, or to its last one."""
        for number, block in enumerate(self.transcript.blocks):
            if isinstance(block, AnswerBlock) and block.exchange.line == line:
                height = sum(block[at].height(self.row_width) for at in range(len(block)))
                start = Position(number, 0, 0)
                self.top = self.transcript.moved(start, min(rows, height - 1), self.row_width)
                self.redraw()

    # -- replicas --------------------------------------------------------------------------------------------

    def show_replicas(self, replicas: Sequence[ReplicaStatus], waiting: int) -> None:
        """The state of this model's replicas, and how many requests wait for one."""
        before = [(r.device, r.state, r.loading, r.detail, r.error) for r in self._replicas]
        self._replicas = tuple(replicas)
        if before != [(r.device, r.state, r.loading, r.detail, r.error) for r in replicas]:
            self._describe_condition()
            self.redraw_header()
        stopping = {x for x in self.running if x.ticket is not None and x.ticket.stopping}
        if waiting != self._waiting or stopping != self._stopping:
            self._waiting, self._stopping = waiting, stopping
            for exchange in self.running:
                self.post(exchange)
        self.redraw()

    @property
    def _told(self) -> str:
        """The error in the last answer, which need not be said again below it."""
        last = next(reversed(self._answers), None)
        return last.error.message if last is not None and last.error is not None else ""

    def _describe_condition(self) -> None:
        """Say under the answers what the replicas that are not up are doing, and why they failed."""
        lines: list[Line] = []
        for status in self._replicas:
            words = state_words(status)
            if not words:
                continue
            sign = SIGNS[status.state]
            style = sign.style if status.state == "failed" else "muted"
            error = status.error
            if error is None or status.state not in ("failed", "restarting"):
                lines.append(Line(words, style, f"{sign.glyph} {status.device} "))
                continue
            told = error.message == self._told
            message = "as said above" if told else visible_line(error.message)
            lines.append(Line(f"{words}: {message}", style, f"{sign.glyph} {status.device} "))
            if error.hint and not told:
                lines.append(Line(visible_line(error.hint), "muted", "  "))
            detail = visible(error.detail).rstrip().split("\n")[-DETAIL_LINES:]
            lines += [Line(text, "foot", "  │ ") for text in detail if text]
        if not lines and not self._answers:
            lines.append(Line(WELCOME, "muted"))
        self._condition.foot = lines

    # -- header ----------------------------------------------------------------------------------------------

    def header_strip(self) -> Strip:
        """``name  backend · device ● device ◐ ───``; less of it where there is less room."""
        width = self.size.width
        rule = "━" if self.has_focus else "─"
        name = visible_line(self.model)
        words: list[tuple[str, str]] = [(name, "name" if not self.has_focus else "strong")]
        signs = [(SIGNS[r.state].glyph, SIGNS[r.state].style) for r in self._replicas]
        full = (
            cell_len(name) + cell_len(self.backend) + sum(cell_len(r.device) + 3 for r in self._replicas) + 8
        )
        if full <= width:
            words += [("  " + self.backend + " ·", "muted")]
            for status, (glyph, style) in zip(self._replicas, signs, strict=True):
                words += [(f" {status.device} ", "muted"), (glyph, style)]
        elif signs:
            words += [(" ", "muted"), *signs]
        segments = [Segment(" ", self.rich_style)]
        segments += [Segment(text, self.style_of(style)) for text, style in words]
        segments.append(Segment(" ", self.rich_style))
        strip = Strip(segments)
        fill = max(0, width - strip.cell_length - 1)
        end = Segment(" ", self.rich_style)
        return Strip([*segments, Segment(rule * fill, self.style_of("rule")), end]).adjust_cell_length(width)
