"""Asking again exactly what was asked: is it the same answer today?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repl.messages import Finished
from repl.probe.replay import Replay, Rerun, allowance, compare
from repl.session import routing
from repl.session.circumstances import differences
from repl.session.commands.base import Command, chosen_or_last, number_offers, say
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry, inquire, like

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

USAGE = "/rerun [#id ... | all] [on REPLICA]"


async def _rerun(session: "Session", ui: FrontEnd, argument: str) -> None:
    words, where = argument.split(), ""
    if len(words) > 1 and words[-2] == "on":
        words, where = words[:-2], words[-1]
    if words == ["all"]:
        chosen = [x for x in session.exchanges if x.done]
        if not chosen:
            raise InputError("nothing has been answered yet", "type a prompt")
    else:
        chosen = await chosen_or_last(session, words)
    originals = _able(session, ui, chosen)
    pins = _pins(session, where, originals) if where else {}
    asked = [again(x, pins.get(x.model)) for x in originals]
    made: list[Exchange] = []
    try:
        await inquire(session, asked, made)
    finally:
        ended = [(was, now) for was, now in zip(originals, made, strict=False) if now.done]
        ui.show(Rerun(replays=tuple([await replay(session, was, now) for was, now in ended])))


def again(exchange: "Exchange", pin: str | None = None) -> Inquiry:
    """Exactly what was asked; where a person wrote every token, with room for one more."""
    asked = replace(like(exchange), pin=pin, origin=Origin(exchange.id, how="rerun"))
    room = max(exchange.params.max_new, len(asked.prefix_ids) + 1)
    return replace(asked, params={**asked.params, "max_new": room})


def _able(session: "Session", ui: FrontEnd, chosen: "Sequence[Exchange]") -> "list[Exchange]":
    """Those that have ended and whose model is here; raises ``InputError`` if none."""
    running = [x for x in chosen if not x.done]
    foreign = [x for x in chosen if x.done and x.model not in session.models]
    rest = [x for x in chosen if x not in running and x not in foreign]
    why = [f"#{x.id} still runs" for x in running]
    why += [_elsewhere(x) for x in foreign]
    if not rest:
        raise InputError("; ".join(why), f"configured are {', '.join(session.models)}")
    if why:
        say(ui, "left out: " + "; ".join(why))
    return rest


def _elsewhere(exchange: "Exchange") -> str:
    """Why no model of the session can be asked again."""
    if exchange.identity.spec.backend == "ensemble":
        return f"#{exchange.id} was written by several models: /ensemble with its seed writes it again"
    return f"#{exchange.id} was answered by {exchange.model}, which is not configured here"


def _pins(session: "Session", where: str, chosen: "Sequence[Exchange]") -> dict[str, str]:
    """The place for each model that has a replica there; raises ``InputError`` if one has none."""
    device = routing.device(where)
    there = {r.model for r in session.replicas() if r.name == where or r.device == (device or where)}
    lacking = dict.fromkeys(x.model for x in chosen if x.model not in there)
    if lacking:
        known = ", ".join(r.name for r in session.replicas() if r.model in lacking)
        names = " and ".join(lacking)
        raise InputError(f"'{where}' is not a replica or device of {names}", f"there are {known}")
    return dict.fromkeys(there, device or where)


async def replay(session: "Session", was: "Exchange", now: "Exchange") -> Replay:
    """Both compared, with what the record knows of their circumstances."""
    by_hand = was.origin is not None and was.origin.how == "step"  # it ends where a person ended it
    broken_off = was.state != "finished" or by_hand
    found = compare(was.answer.steps, now.answer.steps, partial=broken_off)
    at, other = found.first, "" if broken_off else _other(was, now)
    within = allowance(was.request.lane, now.identity.dtype)
    differs = at is not None or other or (found.largest or 0.0) > within
    versions = (await session.store.versions(was.id), await session.store.versions(now.id))
    error = f"the replay {now.state}: {now.error.message}" if now.error is not None else ""
    if now.state != "finished" and not error:
        error = "stopped before its end"
    return Replay(
        exchange=was.id,
        again=now.id,
        model=was.model,
        verdict="failed" if error else "differs" if differs else "equal",
        comparison=found,
        was=_piece(was, at),
        now=_piece(now, at),
        other=other,
        circumstances=differences(was, now, versions),
        lane=was.request.lane,
        error=error,
        within=within,
    )


def _piece(exchange: "Exchange", at: int | None) -> bytes:
    steps = exchange.answer.steps
    return steps[at].piece if at is not None and at < len(steps) else b""


def _other(was: "Exchange", now: "Exchange") -> str:
    """What differs beside the tokens."""
    a, b = was.answer.terminal, now.answer.terminal
    if not (isinstance(a, Finished) and isinstance(b, Finished)):
        return ""
    if a.reading != b.reading:
        return "what the model reads is not"
    known = a.hypotheses and b.hypotheses
    if known and [h.tokens for h in a.hypotheses] != [h.tokens for h in b.hypotheses]:
        return "the other hypotheses are not"
    if a.reason != b.reason:
        return f"but it ended by {b.reason}, not {a.reason}"
    return "the text is not" if a.text != b.text else ""


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if before and before[-1] == "on":
        yield from ((r.name, f"on {r.device}") for r in session.replicas())
        return
    if "all" not in before:
        yield from number_offers(session, before, begun)
    if not before:
        yield "all", "every answer of this session"
    if "on" not in before:
        yield "on", "a certain replica or device"


COMMANDS = (
    Command(
        name="rerun",
        usage="[#id ... | all] [on REPLICA]",
        help="ask again exactly what was asked, and say whether the answer is the same",
        details=(
            "Prompt, history, tokens it was made to begin with, parameters, seed and lane are those of the "
            "record, whatever is set now. Tokens are compared one by one, and their log-probabilities: on "
            "the exact lane they must be the same bits, on the fast lane equal within what another batch "
            "makes of them (1e-4 nats in float32, more in half precision). Where they differ, it tells what "
            "is not as it was: checkpoint, versions, dtype, device, batch. "
            "/rerun #18 on lm/1 asks a certain replica, /rerun all every answer of this session."
        ),
        handler=_rerun,
        offers=_offers,
        slow=True,
    ),
)
