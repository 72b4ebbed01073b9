"""What a probe asks of a model, beside the conversation that goes on.

A probe's requests go through the same queue as typed lines, to as many replicas as are idle, and into the
same record. They belong to no conversation. Each kind of probe is a command in ``commands.probing``.
"""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from repl.messages import Message, Request, Task
from repl.params import Value, changed
from repl.session.background import current
from repl.session.decoding import Decoding, decoding, fresh_seed, level
from repl.session.errors import InputError
from repl.session.exchange import Exchange, Identity, Origin

if TYPE_CHECKING:
    from repl.config import ModelConfig
    from repl.session.session import Session

AHEAD = 2
"""Requests on their way for each slot: enough to keep every replica busy, few enough to stop at once."""


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """One request of a probe. The names are those of ``Request``."""

    model: str
    task: Task = "score"
    prompt: str = ""
    target: str = ""
    target_ids: tuple[int, ...] = ()
    prefix: str = ""
    prefix_ids: tuple[int, ...] = ()
    history: tuple[Message, ...] = ()
    template: bool = False
    opening: Literal["auto", "bos", "eos", "none"] = "auto"
    closing: bool = False
    distributions: bool = False
    attention: bool = False
    sample: int = 0
    lane: Literal["fast", "exact"] = "exact"
    params: Mapping[str, Value] = field(default_factory=dict)
    """Over the settings in force."""
    exactly: bool = False
    """``params`` are over the built-in defaults, not over the settings."""
    pin: str | None = None
    origin: Origin | None = None
    """The answer this one was made from."""
    shown: bool = False
    """An answer in its own right: it stands in the model's pane and in ``/history``."""


def make(inquiry: Inquiry, *, number: int, line: int, model: "ModelConfig", settings: Decoding) -> Exchange:
    """The exchange, not yet submitted."""
    params = settings.params
    draws = inquiry.task == "generate" and level(model.backend, "seed").level != "none"
    if draws and params.seed is None:
        params = msgspec.structs.replace(params, seed=fresh_seed())
    return Exchange(
        id=number,
        line=line,
        identity=Identity(spec=model.spec(), dtype=model.dtype),
        prompt=inquiry.prompt,
        request=Request(
            model=model.name,
            prompt=inquiry.prompt,
            params=params,
            history=inquiry.history,
            template=inquiry.template,
            sample=inquiry.sample,
            prefix=inquiry.prefix,
            lane=inquiry.lane,
            task=inquiry.task,
            target=inquiry.target,
            target_ids=inquiry.target_ids,
            prefix_ids=inquiry.prefix_ids,
            opening=inquiry.opening,
            closing=inquiry.closing,
            distributions=inquiry.distributions,
            attention=inquiry.attention,
        ),
        requested=settings.requested,
        created=datetime.now(UTC),
        conversation=secrets.token_hex(8),
        pin=inquiry.pin,
        marks=(settings.mark,) if settings.mark else (),
        origin=inquiry.origin,
        shown=inquiry.shown,
    )


def settings_of(session: "Session", inquiry: Inquiry) -> Decoding:
    """The decoding settings an inquiry will have."""
    model = session.models[inquiry.model]
    if inquiry.exactly:
        return decoding(msgspec.structs.replace(model, defaults={}), inquiry.params)
    return decoding(model, {**session.settings, **inquiry.params})


def like(exchange: Exchange) -> Inquiry:
    """What asks exactly what ``exchange`` asked, with the parameters it had; hidden, of no origin."""
    request = exchange.request
    return Inquiry(
        model=exchange.model,
        task=request.task,
        prompt=exchange.prompt,
        target=request.target,
        target_ids=request.target_ids,
        prefix=request.prefix,
        prefix_ids=request.prefix_ids,
        history=request.history,
        template=request.template,
        opening=request.opening,
        closing=request.closing,
        sample=request.sample,
        lane=request.lane,
        params=changed(request.params),
        exactly=True,
    )


def check_repeatable(exchange: Exchange, models: Collection[str]) -> None:
    """Raise ``InputError`` for what cannot be asked again by itself; ``models`` are those configured."""
    again = "give the command that asked for it again"
    if exchange.request.task != "generate":
        what = f"#{exchange.id} is not an answer: {exchange.model} was to {exchange.request.task}"
        raise InputError(what, again)
    if exchange.model in models:
        return
    origin = exchange.origin
    if origin is not None and origin.exchange is None:
        what = f"#{exchange.id} is not one model's answer: it is the {origin.words} of {exchange.model}"
        raise InputError(what, again)
    message = f"#{exchange.id} was answered by {exchange.model}, which is not configured here"
    raise InputError(message, f"configured are {', '.join(models)}")


async def inquire(
    session: "Session", inquiries: Sequence[Inquiry], made: list[Exchange] | None = None
) -> list[Exchange]:
    """Ask everything, as much at once as the replicas can take; returns when all have ended, in that order.

    Cancelling it stops what runs; ``made``, which holds the exchanges from the beginning, is for those who
    want to keep what there is then. What goes wrong is in the exchanges; ``succeeded`` raises it.
    """
    places = {
        model: asyncio.Semaphore(AHEAD * max(1, session.slots(model)))
        for model in dict.fromkeys(inquiry.model for inquiry in inquiries)
    }
    work = current()
    if work is not None:
        work.asks(len(inquiries))
    line: int | None = None
    made = [] if made is None else made
    for inquiry in inquiries:
        exchange = session.prepare(inquiry, line)
        line = exchange.line
        made.append(exchange)

    async def ask(exchange: Exchange) -> None:
        async with places[exchange.model]:
            await session.perform(exchange)
        if work is not None:
            work.asked()

    async with asyncio.TaskGroup() as group:
        for exchange in made:
            group.create_task(ask(exchange))
    return made


def succeeded(exchanges: Sequence[Exchange]) -> Sequence[Exchange]:
    """The exchanges, if all have finished; otherwise ``InputError`` tells of the first that has not."""
    for x in exchanges:
        if x.error is not None:
            where = f" on {x.replica}" if x.replica else ""
            raise InputError(f"{x.model}{where}: {x.error.message}", x.error.hint)
        if x.state != "finished":
            raise InputError(f"{x.model}: stopped before it had finished", "what had finished is in /history")
    return exchanges
