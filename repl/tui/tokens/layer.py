"""Where the tokens of an answer stand in its lines: their heat, and the cursor that walks them.

A token's place is where its text begins. Tokens may be invisible (part of a character, an end token, what a
stop string cut off): they share the place of the next, and those at the end are drawn as a sign behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from repl.probe.tokens import Token
from repl.safe import visible
from repl.tui.views.lines import Span, expand_tabs

if TYPE_CHECKING:
    from repl.messages import Step
    from repl.tui.views.transcript import Block

Heat = Literal["off", "bits", "rank", "entropy"]
"""What the colours of tokens mean; a rank counts in doublings."""
NEWLINE = "⏎"
UNSEEN = "∅"


class Place(NamedTuple):
    """A character of a block's body, as drawn."""

    line: int
    at: int


def offsets(texts: Sequence[str], final: str) -> list[int]:
    """Where each of ``texts`` begins in ``final``, and where the last ends.

    ``final`` may differ from the joined texts: a stop string cut its end, a detokenizer changed its middle.
    What stands before and after the difference keeps its places; all of the difference belongs to the
    first token in it.
    """
    joined = "".join(texts)
    begins = list(accumulate(map(len, texts), initial=0))
    if joined == final:
        return begins
    same = _agreeing(joined, final)
    most = min(len(joined), len(final)) - same
    after = min(most, _agreeing(joined[::-1], final[::-1]))
    tail, shift = len(joined) - after, len(final) - len(joined)
    changed = len(final) - after
    found = [at if at <= same else at + shift if at >= tail else changed for at in begins[:-1]]
    return [*found, len(final)]


def _agreeing(a: str, b: str) -> int:
    """How many characters they begin with alike."""
    pairs = zip(a, b, strict=False)
    return next((at for at, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def places(text: str, at: Sequence[int]) -> list[Place]:
    """Ascending offsets into ``text`` as places in its lines, tabs expanded."""
    found: list[Place] = []
    wanted = iter(at)
    offset = next(wanted, None)
    begins = 0
    for number, line in enumerate(text.split("\n")):
        tabs = "\t" in line
        while offset is not None and offset <= begins + len(line):
            column = offset - begins
            found.append(Place(number, len(expand_tabs(line[:column])) if tabs else column))
            offset = next(wanted, None)
        begins += len(line) + 1
    return found


def style_of(step: Step, kind: Heat) -> str:
    """The heat style of a token; plain where the number is not known."""
    token = Token(id=step.token, piece=step.piece, nats=step.raw_lp, rank=step.rank, entropy=step.entropy)
    level = token.heat(kind) if kind != "off" else None
    return "" if level is None else f"heat{level}"


class TokenLayer:
    """Styles the body of ``block`` token by token."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.heat: Heat = "off"
        self._places: list[Place] | None = []
        """Of each token, and the end; None until they are asked for."""
        self._drawn: tuple[int, tuple[tuple[str, str], ...]] | None = None
        """The line with the cursor's sign behind it, and what stood there."""
        self._pointed: list[int] = []
        """The lines with the cursor in them."""

    # -- heat ------------------------------------------------------------------------------------------------

    def append(self, step: Step) -> None:
        """Add a token at the end of the body."""
        start = self._end()
        self._block.append(visible(step.text))
        self._places = None
        if self.heat != "off":
            self._paint(start, self._end(), style_of(step, self.heat))

    def rebuild(self, steps: Sequence[Step], text: str) -> None:
        """The body was made anew from ``text``, or the heat changed."""
        self._places = None
        for line in self._block.body:
            line.tail = ()
            line.marked = False
            heated = self.heat != "off"
            line.spans = [] if heated else [span for span in line.spans if span.style == "rewritten"]
        self._drawn = None
        if self.heat == "off" or not steps:
            return
        found = self.places(steps, text)
        for step, start, end in zip(steps, found, found[1:], strict=False):
            self._paint(start, end, style_of(step, self.heat))
        if len(found) > 1 and found[-2] == found[-1] and not self._block.growing:
            self._sign(found[-1].line, UNSEEN, style_of(steps[-1], self.heat))

    def _paint(self, start: Place, end: Place, style: str) -> None:
        body = self._block.body
        for number in range(start.line, min(end.line + 1, len(body))):
            line = body[number]
            left = start.at if number == start.line else 0
            right = end.at if number == end.line else len(line.text)
            if left < right:
                line.spans.append(Span(left, right, style))
                line.marked = True
            if number < end.line:
                self._sign(number, NEWLINE, style)

    def _sign(self, number: int, sign: str, style: str) -> None:
        if number < len(self._block.body):
            line = self._block.body[number]
            line.tail = (*line.tail, (sign, style))
            line.marked = True

    def _end(self) -> Place:
        body = self._block.body
        return Place(len(body) - 1, len(body[-1].text)) if body else Place(0, 0)

    # -- places ----------------------------------------------------------------------------------------------

    def places(self, steps: Sequence[Step], text: str) -> list[Place]:
        """Where each of ``steps`` begins in the body, whose text is ``text``, and where the last ends."""
        if self._places is None or len(self._places) != len(steps) + 1:
            safe = visible(text)
            self._places = places(safe, offsets([visible(step.text) for step in steps], safe))
        return self._places

    def token_at(self, steps: Sequence[Step], text: str, place: Place) -> int | None:
        """The token that is drawn at a place; the last one behind the end, None without tokens."""
        found = self.places(steps, text)
        if not steps:
            return None
        shown = [n for n in range(len(steps)) if found[n] <= place < found[n + 1]]
        return shown[0] if shown else len(steps) - 1

    # -- the cursor ------------------------------------------------------------------------------------------

    def point(self, start: Place, end: Place) -> None:
        """Draw the cursor over a token; where nothing of it is seen, as a sign."""
        self.unpoint()
        body = self._block.body
        for number in range(start.line, min(end.line + 1, len(body))):
            left = start.at if number == start.line else 0
            right = end.at if number == end.line else len(body[number].text)
            if left < right:
                body[number].cursor = Span(left, right, "chosen")
                self._pointed.append(number)
        if not self._pointed and start.line < len(body):
            line = body[start.line]
            self._drawn = start.line, line.tail
            sign = NEWLINE if end.line > start.line else UNSEEN
            line.tail = (*(part for part in line.tail if part[0] != sign), (sign, "chosen"))

    def unpoint(self) -> None:
        """Take the cursor away."""
        body = self._block.body
        for number in self._pointed:
            if number < len(body):
                body[number].cursor = None
        self._pointed.clear()
        if self._drawn is not None and self._drawn[0] < len(body):
            body[self._drawn[0]].tail = self._drawn[1]
        self._drawn = None
