"""What a model's own arithmetic does to its numbers: `/noise`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from repl.messages import Finished
from repl.probe.noise import Noise, Way, against
from repl.session.commands.base import Command, model_offers, number_offers, one_model, recall
from repl.session.commands.probing.forcing import Reading, chosen, must_score
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry, check_repeatable, inquire, like, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.messages import Capabilities
    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

NOISE = "/noise [MODEL] [#id | TEXT]"
NEIGHBOURS = 7
"""Most answers that are generated beside a reading."""
LONGER = 16
"""Tokens that a neighbour writes beyond the length of the text, so that it runs throughout."""


async def _noise(session: "Session", ui: FrontEnd, argument: str) -> None:
    model, rest = await _whose(session, argument)
    known = await must_score(session, model)
    text = Reading(text=rest) if rest and not rest.startswith("#") else await chosen(session, model, rest)
    said = None if text.exchange is None else await recall(session, str(text.exchange))
    own = said is None or said.model == model
    names = _replicas(session, model)
    read = text.inquiry(model, "noise", by_ids=bool(text.ids) and own, distributions=known.distributions)
    pins = [names[0], names[0], *names[1:]] if names else [None, None]
    first, *again = succeeded(await inquire(session, [replace(read, pin=pin) for pin in pins]))
    text = replace(text, ids=tuple(step.token for step in first.answer.steps))
    ways = []
    for exchange in again:
        other = exchange.replica != first.replica
        way = f"exact lane on {exchange.replica}" if other else "exact lane"
        ways.append(await _compared(first, exchange, way))
    repeated = said if said is not None and own and _repeatable(said) else None
    live = _read_again(model, text) if repeated is None else _written_again(repeated, text)
    live = replace(live, distributions=known.distributions, pin=first.replica, origin=text.origin("noise"))
    beside = await _amid_others(session, live, min(NEIGHBOURS, known.slots - 1), len(text.ids) + LONGER)
    ways.append(await _compared(first, beside, "fast lane" if repeated is None else "written again"))
    if said is not None and own:
        ways.append(against(first.answer.steps, said.answer.steps, "as it was answered", batch=_batch(said)))
    ways.append(await _in_float32(session, text, model, known, first))
    ui.show(
        Noise(
            model=model,
            dtype=known.dtype,
            positions=len(text.ids),
            along=text.exchange,
            ways=tuple(ways),
            notes=tuple(first.notes),
        )
    )


async def _whose(session: "Session", argument: str) -> tuple[str, str]:
    """The model and what it is to read: its own answer where only that is named, else the last one."""
    word, _, rest = argument.partition(" ")
    if word and not word.startswith("#"):
        return one_model(session, word), rest.strip()
    said = await recall(session, word) if word else next(iter(session.last_line()), None)
    if said is None:
        raise InputError("whose noise?", NOISE)
    if said.model not in session.models:
        check_repeatable(said, session.models)
    return said.model, f"#{said.id}"


def _repeatable(said: "Exchange") -> bool:
    """Asking once more gives the same tokens, noise aside."""
    return said.request.task == "generate" and said.params.beam == said.params.n == 1


def _written_again(said: "Exchange", text: Reading) -> Inquiry:
    """The same answer as everyday requests are served."""
    asked = like(said)
    params = {**asked.params, "logprobs": text.settings["logprobs"], "max_new": len(text.ids)}
    return replace(asked, lane="fast", params=params)


def _read_again(model: str, text: Reading) -> Inquiry:
    """The same tokens, read as everyday requests are served."""
    return replace(text.inquiry(model, "noise", by_ids=True, distributions=False), lane="fast")


async def _amid_others(session: "Session", live: Inquiry, count: int, length: int) -> "Exchange":
    """Ask it while ``count`` others like it run on the same replica, each up to ``length`` tokens."""
    other = replace(live, task="generate", target_ids=(), target="", prompt=live.prompt or "a")
    others = [
        replace(other, sample=live.sample + at, params={**live.params, "max_new": length})
        for at in range(1, count + 1)
    ]
    *_, found = await inquire(session, [*others, live])
    succeeded([found])
    return found


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
    steps, other = first.answer.steps, again.answer.steps
    batch = _batch(again)
    if batch is not None and batch > 1:
        way += f", {batch} in a pass"
    work = partial(against, steps, other, way, exchange=again.id, batch=batch)
    return await asyncio.to_thread(work)


def _batch(exchange: "Exchange") -> int | None:
    terminal = exchange.answer.terminal
    return terminal.batch if isinstance(terminal, Finished) else None


def _replicas(session: "Session", model: str) -> list[str]:
    return [s.name for s in session.status() if s.model == model and s.state in ("ready", "busy")]


def _offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    yield from model_offers(session, before, begun) if not before else ()
    if not any(word.startswith("#") for word in before):
        yield from number_offers(session, before, begun)


COMMANDS = (
    Command(
        name="noise",
        usage="[MODEL] [#id | TEXT]",
        help="how much a model's numbers move when it reads the same tokens again",
        details=(
            "The tokens of #id (or of the model's last answer, or TEXT; without MODEL those of the last "
            "answer, by the model that gave it) are read twice in the exact lane, "
            "once on each other replica, once as everyday requests are served with others beside it (an "
            "answer is written again), and in float32 where another configured model has the same "
            "checkpoint so. Shown for each: the largest change of a log-probability, positions where the "
            "first choice flips, the largest JS. /diverge then marks with ~ what is no further apart.\n\n"
            "/noise #18\n"
            "/noise lm-late #18"
        ),
        handler=_noise,
        offers=_offers,
        slow=True,
    ),
)
