"""Answers to one line side by side: where they part, and what each took."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repl.probe.diff import Answered, compare
from repl.probe.spans import spelled
from repl.session.commands.base import Command, chosen_or_last, number_offers, recall, say
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.messages import Event
    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session


class Following:
    """A listener that shows, after each line that several models answered, where the answers part."""

    def __init__(self, session: "Session", ui: FrontEnd) -> None:
        self._session = session
        self._ui = ui

    def started(self, exchange: "Exchange") -> None:
        """Wait for its end."""

    def event(self, exchange: "Exchange", event: "Event") -> None:
        """Wait for its end."""

    def ended(self, exchange: "Exchange") -> None:
        """Show the difference, if it was the last of its line."""
        line = [x for x in self._session.exchanges if x.line == exchange.line and x.origin is None]
        if all(x.done for x in line):
            answers = [answered(x) for x in line if x.answer.steps]
            if len(answers) > 1:
                self._ui.show(compare(answers))

    def notice(self, notice: Notice) -> None:
        """None of its concern."""


def follow(session: "Session", ui: FrontEnd, *, on: bool) -> None:
    """Show the difference after each compared line from now on, or no more."""
    if session.unfollow is not None:
        session.unfollow()
    session.unfollow = session.listen(Following(session, ui)) if on else None


def answered(exchange: "Exchange") -> Answered:
    """What a comparison needs of an answer; one that still runs is compared as far as it is."""
    return Answered(
        exchange=exchange.id,
        model=exchange.model,
        tokens=spelled(exchange.answer.steps),
        finish=exchange.finish or "running",
        first_seconds=exchange.first_token_seconds,
        total_seconds=exchange.total_seconds,
        tokens_per_second=exchange.tokens_per_second,
    )


async def show_diff(
    session: "Session", ui: FrontEnd, words: Sequence[str], *, by_words: bool = False
) -> None:
    """Show how the named answers, or those of the last line, differ; raises ``InputError``."""
    exchanges = await chosen_or_last(session, words)
    if len(exchanges) < 2:
        raise InputError(
            "a difference needs two answers",
            "/compare NAME NAME asks two models at once; /diff #1 #2 takes any answers",
        )
    empty = [x for x in exchanges if not x.answer.steps]
    if empty:
        named = ", ".join(f"#{x.id} ({x.model})" for x in empty)
        raise InputError(f"{named} has no tokens", "name others: /diff #1 #2")
    ui.show(compare([answered(x) for x in exchanges], words=by_words))


async def _diff(session: "Session", ui: FrontEnd, argument: str) -> None:
    words = argument.split()
    by_words = "words" in words
    numbers = [word for word in words if word not in ("words", "tokens")]
    if len(numbers) == 1:
        await recall(session, numbers[0])
    await show_diff(session, ui, numbers, by_words=by_words)


def _diff_offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    if "words" not in before:
        yield "words", "by words instead of tokens"
    yield from number_offers(session, before, begun)


async def set_following(session: "Session", ui: FrontEnd, word: str) -> None:
    """Carry out ``/compare diff [on|off]``."""
    if word not in ("on", "off", ""):
        raise InputError(f"'{word}' is not one of on, off", "/compare diff on")
    if word:
        follow(session, ui, on=word == "on")
    on = session.unfollow is not None
    say(ui, f"the difference is {'shown' if on else 'not shown'} after each line that several models answer")


COMMANDS = (
    Command(
        name="diff",
        usage="[words] [#id ...]",
        help="where answers part: token by token, with bits/byte and speed",
        details=(
            "Takes the answers of the last line, or those named; each is compared with the first. Tokens are "
            "aligned on the bytes they stand for, so models with different tokenizers can be compared. "
            "[-old-] stands only in the first, {+new+} only in the other, ≠ where they part first.\n\n"
            "/diff                 the last line's answers\n"
            "/diff words #12 #15   two answers, by words"
        ),
        handler=_diff,
        offers=_diff_offers,
    ),
)
