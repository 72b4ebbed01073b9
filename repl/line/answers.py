"""Prints answers, one at a time: a heading, the text as it comes, and a line of figures."""

from collections.abc import Callable, Sequence

from repl.line.inorder import View
from repl.line.screen import Screen
from repl.line.words import Style, cut, foot, plain, remarks
from repl.messages import Event, Rewound, Started, Step
from repl.probe.figure import Row
from repl.safe import visible, visible_line
from repl.session.exchange import Exchange
from repl.session.frontend import Notice

REMINDER = 60
"""Columns of a question that is repeated over its answer."""


class Answers(View):
    """Shows what ``InOrder`` gives it."""

    def __init__(
        self,
        screen: Screen,
        style: Style,
        *,
        named: bool,
        heat: Callable[[Exchange], Sequence[Row]] = lambda exchange: (),
    ) -> None:
        self._screen = screen
        self._heat = heat
        self._style = style
        self._pieces: list[str] = []
        self._printed = ""
        """Text of the present answer that stands in whole lines; raw."""
        self._line = ""
        """The line after that, still growing; raw."""
        self._named = named
        """Say which model answers."""
        self.latest = 0
        """The line asked last, by its first exchange: whose answer needs no reminder of the question."""

    def begin(self, exchange: Exchange) -> None:
        """Say whose answer it is and to what, where that is not plain."""
        self._pieces, self._printed, self._line = [], "", ""
        made = f" · {exchange.origin.words}" if exchange.origin is not None else ""
        words = [f"{visible_line(exchange.model)}{made}"] if self._named or made else []
        words += [f"> {cut(visible_line(exchange.prompt), REMINDER)}"] if exchange.line != self.latest else []
        if words:
            self._screen.print(self._style.name(" ".join(words)) + "\n")

    def again(self, exchange: Exchange) -> None:
        """Print an earlier answer whole."""
        self.begin(exchange)
        self.end(exchange)

    def event(self, exchange: Exchange, event: Event) -> None:
        """Show a token. What a beam search may take back is not printed for good yet."""
        match event:
            case Step():
                self._pieces.append(event.text)
                self._line += event.text
            case Rewound():
                del self._pieces[event.keep :]
                self._rewrite("".join(self._pieces))
            case Started() if self._pieces:  # begun anew on another replica
                self._pieces.clear()
                self._rewrite("")
        if exchange.params.beam == 1:
            self._print_whole_lines()
        self._screen.grow(visible(self._line).rpartition("\n")[2])

    def end(self, exchange: Exchange) -> None:
        """Print the rest and the figures."""
        self._rewrite(exchange.answer.text)
        if self._line or (not self._printed and exchange.state == "finished"):
            self._screen.print(visible(self._line) + "\n")
        self._screen.grow("")
        if rows := self._heat(exchange):
            self._screen.print(self._style.rows(rows) + "\n")
        lines = [self._style.remark(line) for line in remarks(exchange)]
        lines.append(self._style.foot(foot(exchange)))
        self._screen.print("".join(f"{line}\n" for line in lines))

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for."""
        self._screen.print(self._style.output(notice, plain(notice)) + "\n")

    def _print_whole_lines(self) -> None:
        whole, end, rest = self._line.rpartition("\n")
        if end:
            self._screen.print(visible(whole) + "\n")
            self._printed += whole + end
            self._line = rest

    def _rewrite(self, text: str) -> None:
        """The answer is ``text`` now: go on behind what is printed of it, or begin anew."""
        if not text.startswith(self._printed):
            self._screen.grow("")
            self._screen.print(self._style.remark("↺ rewritten:") + "\n")
            self._printed = ""
        self._line = text[len(self._printed) :]
