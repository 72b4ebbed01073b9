"""What a model's own arithmetic does to its numbers: `/noise`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repl.messages import Finished
from repl.probe.noise import Noise, Way, against
from repl.session.commands.base import Command, model_offers, number_offers, one_model, recall
from repl.session.commands.probing.forcing import Reading, chosen, must_score
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry, inquire, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.messages import Capabilities
    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

NOISE = "/noise MODEL [#id | TEXT]"
NEIGHBOURS = 7
"""Most answers that are generated beside a reading."""
LONGER = 16
"""Tokens that a neighbour writes beyond the length of the text, so that it runs throughout."""


async def _noise(session: "Session", ui: FrontEnd, argument: str) -> None:
    name, _, rest = argument.partition(" ")
    if not name:
        raise InputError("whose noise?", NOISE)
    model, rest = one_model(session, name), rest.strip()
    known = await must_score(session, model)
    text = Reading(text=rest) if rest and not rest.startswith("#") else await chosen(session, model, rest)
    own = text.exchange is None or (await recall(session, str(text.exchange))).model == model
    names = _replicas(session, model)
    read = text.inquiry(model, "noise", by_ids=bool(text.ids) and own, distributions=known.distributions)
    pins = [names[0], names[0], *names[1:]] if names else [None, None]
    first, *again = succeeded(await inquire(session, [replace(read, pin=pin) for pin in pins]))
    ids = tuple(step.token for step in first.answer.steps)
    ways = []
    for exchange in again:
        other = exchange.replica != first.replica
        ways.append(
            await _compared(first, exchange, f"exact lane on {exchange.replica}" if other else "exact lane")
        )
    live = await _live(session, replace(text, ids=ids), model, known, first.replica)
    ways.append(await _compared(first, live, "fast lane, among others"))
    if text.exchange is not None and own:
        said = await recall(session, str(text.exchange))
        ways.append(against(first.answer.steps, said.answer.steps, "as it was answered", batch=_batch(said)))
    ways.append(await _in_float32(session, replace(text, ids=ids), model, known, first))
    ui.show(
        Noise(
            model=model,
            dtype=known.dtype,
            positions=len(ids),
            along=text.exchange,
            ways=tuple(ways),
            notes=tuple(first.notes),
        )
    )


async def _live(
    session: "Session", text: Reading, model: str, known: "Capabilities", replica: str | None
) -> "Exchange":
    """The same tokens as the beginning of an answer in the fast lane, beside answers of other lengths."""
    count = min(NEIGHBOURS, known.slots - 1)
    length = len(text.ids)
    base = Inquiry(
        model=model,
        task="generate",
        prompt=text.prompt or text.text,
        history=text.history,
        template=text.template,
        lane="fast",
        exactly=True,
        pin=replica,
        origin=text.origin("noise"),
    )
    params = {**text.settings, "max_new": length + 1}
    longer = {**params, "max_new": length + LONGER}
    whole = known.distributions
    neighbours = [
        replace(base, prefix_ids=text.ids[: length * at // (count + 1)], params=longer, distributions=whole)
        for at in range(count)
    ]
    if text.prompt or text.history:
        read = replace(base, prefix_ids=text.ids, params=params, distributions=whole)
    else:
        read = text.inquiry(model, "noise", by_ids=True, distributions=whole, pin=replica)
        read = replace(read, lane="fast")
    *_, live = await inquire(session, [*neighbours, read])
    succeeded([live])
    return live


async def _in_float32(
    session: "Session", text: Reading, model: str, known: "Capabilities", first: "Exchange"
) -> Way:
    """The same tokens read in full precision, where a model of the session can."""
    way = "float32"
    if known.dtype == "float32":
        return Way(way=way, why_not="it runs in float32 already")
    own = session.models[model]
    twin = next((m.name for m in session.models.values() if (m.path, m.dtype) == (own.path, "float32")), None)
    if twin is None:
        return Way(way=way, why_not=f"configure {own.path} once more with dtype: float32 to measure it")
    whole = (await must_score(session, twin)).distributions
    (exact,) = succeeded(
        await inquire(session, [text.inquiry(twin, "noise", by_ids=True, distributions=whole)])
    )
    return await _compared(first, exact, f"{way}, by {twin}")


async def _compared(first: "Exchange", again: "Exchange", way: str) -> Way:
    steps, other = first.answer.steps, again.answer.steps[: len(first.answer.steps)]
    if [step.token for step in steps] != [step.token for step in other]:
        return Way(way=way, exchange=again.id, why_not="it read other tokens")
    return await asyncio.to_thread(against, steps, other, way, exchange=again.id, batch=_batch(again))


def _batch(exchange: "Exchange") -> int | None:
    terminal = exchange.answer.terminal
    return terminal.batch if isinstance(terminal, Finished) else None


def _replicas(session: "Session", model: str) -> list[str]:
    return [s.name for s in session.status() if s.model == model and s.state in ("ready", "busy")]


def _offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    return number_offers(session, before, begun) if before else model_offers(session, before, begun)


COMMANDS = (
    Command(
        name="noise",
        usage="MODEL [#id | TEXT]",
        help="how much a model's numbers move when it reads the same tokens again",
        details=(
            "The tokens of #id (or of the model's last answer, or TEXT) are read twice in the exact lane, "
            "once on each other replica, once in the fast lane while other answers are generated beside "
            "them, and in float32 where another configured model has the same checkpoint so. Shown for "
            "each: the largest change of a token's log-probability, positions where the first choice flips, "
            "the largest JS. /diverge then marks with ~ what is no further apart than this.\n\n"
            "/noise lm-late #18"
        ),
        handler=_noise,
        offers=_offers,
        slow=True,
    ),
)
