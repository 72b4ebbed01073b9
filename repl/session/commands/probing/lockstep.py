"""Several models write one answer: each tells what it expects, a mixture decides, all go on from there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from repl.messages import Error, Event, Failed, Finished, Lost, Request, Step
from repl.params import Params
from repl.pool import Refused
from repl.probe.divergence import best, normalised, unpacked
from repl.probe.mixture import Mode, draw, mixed
from repl.session.answer import Answer

if TYPE_CHECKING:
    from repl.pool import Ticket
    from repl.session.session import Session


FARTHEST = 16
"""Most tokens a member writes ahead."""


class Broken(Exception):
    """The answer cannot go on."""

    def __init__(self, error: Error, model: str = "") -> None:
        super().__init__(error.message)
        self.error = msgspec.structs.replace(error, message=f"{model}: {error.message}") if model else error


@dataclass
class Member:
    """One of the models, and where its state is kept."""

    request: Request
    """What it is asked first; later requests differ in what is written already."""
    home: str | None = None
    """The replica that answered last and still has the beginning in its cache."""

    async def ask(self, session: "Session", written: Sequence[int], ahead: int) -> Answer:
        """Have it go on after these tokens by ``ahead`` of its own; raises ``Broken``."""
        request = msgspec.structs.replace(
            self.request,
            prefix_ids=tuple(written),
            known=len(written),
            params=msgspec.structs.replace(self.request.params, max_new=len(written) + ahead),
        )
        answer = Answer()

        def sink(ticket: "Ticket", event: Event) -> None:
            answer.feed(event)

        try:
            ticket = session.coordinator.submit(
                request,
                user=session.user,
                pin=session.pins.get(request.model),
                home=self.home,
                sink=sink,
            )
        except Refused as refused:
            raise Broken(refused.error, self.request.model) from None
        try:
            await ticket.wait()
        except asyncio.CancelledError:
            ticket.cancel()
            raise
        self.home = ticket.replica
        if isinstance(answer.terminal, Failed | Lost):
            raise Broken(answer.terminal.error, self.request.model)
        if not isinstance(answer.terminal, Finished):
            raise Broken(Error(kind="stopped", message="it was stopped"), self.request.model)
        return answer


async def write(
    session: "Session", members: Sequence[Member], mode: Mode, params: Params, sample: int
) -> AsyncIterator[Event]:
    """The events of the mixture's answer; raises ``Broken``.

    A token is told when what follows it is known, since only then its text is. Each member writes a few
    tokens ahead by itself, with the same noise: as long as all of them write what the mixture chooses, their
    distributions hold, and none needs to be asked again.
    """
    written: list[int] = []
    pending: Step | None = None
    ahead = 1
    answers = await asyncio.gather(*(member.ask(session, written, ahead) for member in members))
    if answers[0].started is not None:
        yield msgspec.structs.replace(answers[0].started, reused=0)
    while True:
        if written and not all(_foresaw(answer, written) for answer in answers):
            whole = all(_wrote(answer, written) for answer in answers)
            ahead = min(FARTHEST, 2 * ahead) if whole else 1
            answers = await asyncio.gather(*(member.ask(session, written, ahead) for member in members))
        if pending is not None:
            told = answers[0].steps[len(written) - 1]
            yield msgspec.structs.replace(pending, piece=told.piece, text=told.text)
        if (end := _end(answers, len(written), params)) is not None:
            yield end
            return
        pending = await asyncio.to_thread(_next, answers, len(written), mode, params, sample)
        written.append(pending.token)


def _wrote(answer: Answer, written: Sequence[int]) -> bool:
    """Whether it is the beginning of what is written, or all of it."""
    steps = answer.steps[: len(written)]
    return steps[-1].token == written[len(steps) - 1]


def _foresaw(answer: Answer, written: Sequence[int]) -> bool:
    """Whether it tells what follows what is written: all before the last token is known to be the same."""
    count = len(written)
    if len(answer.steps) < count or not _wrote(answer, written):
        return False
    ended = isinstance(answer.terminal, Finished) and answer.terminal.reason == "eos"
    return len(answer.steps) > count or ended


def _end(answers: Sequence[Answer], count: int, params: Params) -> Finished | None:
    """How the answer of ``count`` tokens ends; None where it goes on."""
    first = answers[0]
    ended = any(len(answer.steps) <= count for answer in answers)
    whole = len(first.steps) <= count
    text = first.text if whole else "".join(step.text for step in first.steps[:count])
    found = [text.index(stop) for stop in params.stop if stop in text]
    if found:
        return Finished(id=0, reason="stop", text=text[: min(found)])
    if ended or count >= params.max_new:
        return Finished(id=0, reason="eos" if ended else "length", text=text)
    return None


def _next(answers: Sequence[Answer], index: int, mode: Mode, params: Params, sample: int) -> Step:
    """The mixture's next token; what it spells is not known yet."""
    steps = [answer.steps[index] for answer in answers]
    try:
        rows = unpacked(*(step.distribution for step in steps))
        row = mixed([normalised(row) for row in rows], mode)
    except ValueError as error:
        raise Broken(Error(kind="unsupported", message=f"token {index}: {error}")) from None
    drawn = draw(row, params, sample, index)
    pieces = {token: piece for step in steps for token, _, piece in step.top}
    return Step(
        id=0,
        index=index,
        token=drawn.token,
        piece=b"",
        text="",
        raw_lp=drawn.raw_lp,
        proc_lp=drawn.proc_lp,
        rank=drawn.rank,
        entropy=drawn.entropy,
        top=tuple((t, lp, pieces[t]) for t, lp in best(row, params.logprobs) if t in pieces),
    )
