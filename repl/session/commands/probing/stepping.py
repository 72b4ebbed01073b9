"""Sampling by hand: a model proposes, a person chooses each token."""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from repl.messages import Event, Finished, Step
from repl.probe.choices import Choices
from repl.probe.figure import piece_text
from repl.probe.tokens import Alternative
from repl.session.commands.base import Command, say
from repl.session.commands.probing.asking import prompted
from repl.session.commands.probing.pointing import NUMBERED, is_piece, peeked, unquote, written
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

OPTIONS = 10
HOW = "/step N takes the N-th, /step TEXT writes a text, /step back, /step done"


@dataclass
class Stepping:
    """An answer in the making."""

    inquiry: Inquiry
    seen: "list[Exchange]" = field(default_factory=list)
    """What the model said after each choice; its request begins with the tokens written by then."""
    closed: bool = False
    """The model's own next token was the end token, and it was taken."""

    @property
    def steps(self) -> list[Step]:
        """The tokens written."""
        last = self.seen[-1]
        return last.answer.steps[: len(last.request.prefix_ids) + self.closed]

    @property
    def text(self) -> str:
        """What they write."""
        return "".join(step.text for step in self.steps)

    @property
    def complete(self) -> bool:
        """The end token is written: nothing can follow."""
        return self.closed or len(self.seen[-1].answer.steps) == len(self.seen[-1].request.prefix_ids)

    @property
    def next(self) -> Step:
        """What the model would write; there is none when the answer is complete."""
        return self.seen[-1].answer.steps[len(self.steps)]

    async def look(self, session: "Session", written: "Sequence[int]") -> None:
        """Ask what the model would write after these tokens."""
        self.seen.append(await peeked(session, self.inquiry, written, OPTIONS))


async def _step(session: "Session", ui: FrontEnd, argument: str) -> None:
    async with session.step_turn:
        await _carry_out(session, ui, argument)


async def _carry_out(session: "Session", ui: FrontEnd, argument: str) -> None:
    at = session.stepping
    word, _, rest = argument.partition(" ")
    match word.lower():
        case "new":
            await _begin(session, ui, rest.strip())
        case "back" | "done" if at is None:
            raise InputError("nothing is being written by hand", "/step PROMPT begins")
        case _ if at is None:
            await _begin(session, ui, argument)
        case "back" if not rest:
            _back(at)
            ui.show(figure(at))
        case "done" if not rest:
            _done(session, ui, at)
        case "":
            ui.show(figure(at))
        case _:
            await _take(session, ui, at, argument)


async def _begin(session: "Session", ui: FrontEnd, prompt: str) -> None:
    if not session.comparison:
        raise InputError("no model is chosen", "/use NAME chooses one")
    (model, *others) = session.comparison
    (inquiry,) = prompted(session, [model], prompt)
    if others:
        say(ui, f"{model} writes", "/use NAME chooses another")
    at = Stepping(inquiry)
    await at.look(session, ())
    started = at.seen[0].answer.started
    if started is not None and started.truncated:
        cut = f"{started.truncated:,} tokens were cut off"
        raise InputError(f"the prompt is too long for {model}: {cut}", "shorten it")
    session.stepping = at
    ui.show(figure(at))
    say(ui, HOW)


async def _take(session: "Session", ui: FrontEnd, at: Stepping, argument: str) -> None:
    if at.complete:
        raise InputError("the answer is complete", "/step done keeps it, /step back takes the end away")
    ids = await _wanted(session, ui, at, argument)
    if ids == (at.next.token,) and at.seen[-1].finish == "eos":
        at.closed = True
    else:
        await at.look(session, (*(step.token for step in at.steps), *ids))
    ui.show(figure(at))
    if at.complete:
        say(ui, "that is the end token", "/step done keeps the answer, /step back goes on")


async def _wanted(session: "Session", ui: FrontEnd, at: Stepping, argument: str) -> tuple[int, ...]:
    """The tokens that an argument names: an option by its place or its text, a token's number, any text."""
    top = at.next.top
    if match := NUMBERED.fullmatch(argument):
        return (int(match[1]),)
    if argument.isascii() and argument.isdecimal():
        rank = int(argument)
        if not 1 <= rank <= len(top):
            raise InputError(f"there is no option {rank}", f'1 to {len(top)}; /step "{rank}" writes the text')
        return (top[rank - 1][0],)
    quoted = len(argument) > 1 and argument.startswith('"') and argument.endswith('"')
    text = unquote(argument) if quoted else argument
    for token, _, piece in top:
        if is_piece(piece, text, exactly=quoted):
            return (token,)
    leading = " " if not quoted and at.next.piece.startswith(b" ") else ""
    return (await written(session, ui, at.inquiry.model, leading + text)).ids


def _back(at: Stepping) -> None:
    if at.closed:
        at.closed = False
    elif len(at.seen) > 1:
        at.seen.pop()
    else:
        raise InputError("this is the beginning", "/step new PROMPT begins another")


def _done(session: "Session", ui: FrontEnd, at: Stepping) -> None:
    if not at.steps:
        raise InputError("no token has been taken yet", HOW)
    written = tuple(step.token for step in at.steps)
    params = {**at.inquiry.params, "n": 1, "beam": 1}
    inquiry = replace(
        at.inquiry, prefix_ids=written, params=params, shown=True, origin=Origin(None, how="step")
    )
    kept = session.adopt(inquiry, events(at), at.seen[-1])
    session.stepping = None
    say(ui, f"kept as #{kept.id}")


def events(at: Stepping) -> list[Event]:
    """What a model would have sent, had it written this answer by itself."""
    started = at.seen[-1].answer.started
    assert started is not None
    steps = [msgspec.structs.replace(step, forced=True) for step in at.steps]
    return [started, *steps, Finished(id=0, reason="eos" if at.complete else "done", text=at.text)]


def figure(at: Stepping) -> Choices:
    """Where it stands."""
    step = None if at.complete else at.next
    return Choices(
        model=at.inquiry.model,
        prompt=at.inquiry.prompt,
        text=at.text,
        written=tuple(step.token for step in at.steps),
        options=tuple(Alternative(id=t, piece=p, nats=lp) for t, lp, p in step.top) if step else (),
        entropy=step.entropy if step else None,
    )


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if before:
        return
    at = session.stepping
    if at is not None and not at.complete:
        for rank, (_, lp, piece) in enumerate(at.next.top, 1):
            yield str(rank), f"{piece_text(piece)} {math.exp(lp):.1%}"
    if at is not None:
        yield "back", "take the last choice back"
        yield "done", "keep what is written as an answer"
        yield "new", "begin another"


COMMANDS = (
    Command(
        name="step",
        usage="[PROMPT | N | #ID | TEXT | back | done | new PROMPT]",
        help="write an answer by hand, a token at a time, from what the model proposes",
        details=(
            "/step The cat sat begins (/step alone takes the last prompt); then /step 2 takes the second "
            'proposal, /step "mat." a text of your own, /step back takes the last choice back and /step done '
            "keeps the answer. Probabilities are the model's own, at temperature 1. Always taking 1 is "
            "greedy decoding, unless a penalty is set."
        ),
        handler=_step,
        offers=_offers,
        slow=True,
    ),
)
