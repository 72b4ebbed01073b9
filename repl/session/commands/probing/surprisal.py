"""What models thought of the tokens of their answers: ``/logprobs``."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from repl.probe.figure import piece_text
from repl.probe.heatmap import HeatMap, Reading
from repl.probe.positions import Position, Positions
from repl.probe.tokens import Heat, tokens
from repl.session.commands.base import Command, number_offers, recall, say
from repl.session.commands.probing.scoring import reading
from repl.session.commands.probing.texts import scoring_answer
from repl.session.errors import InputError
from repl.session.inquiry import inquire, like, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

USUAL = 5
"""Alternatives kept at each token unless a number is given."""
MOST = 100
KINDS = {
    "bits": "colour tokens by their surprisal",
    "rank": "colour tokens by their rank among all",
    "entropy": "colour tokens by the entropy where they stand",
}
_NUMBER = re.compile(r"#\d+")
_PLACE = re.compile(r"@(\d{1,9})")


async def _logprobs(session: "Session", ui: "FrontEnd", argument: str) -> None:
    words = argument.split()
    if any(_NUMBER.fullmatch(word) or _PLACE.fullmatch(word) or word == "table" for word in words):
        await _look(session, ui, words)
        return
    if len(words) > 1:
        raise InputError(f"'{words[1]}' is too much", "/logprobs on|off|bits|rank|entropy|N")
    if words:
        _switch(session, ui, words[0].lower())
        ui.panes_changed()
    else:
        kept = _kept(session)
        colours = "off" if session.heat == "off" else f"colours show {session.heat}"
        say(ui, f"log-probabilities: {kept} alternatives at each token, {colours}")
    if not words or (session.heat != "off" and not ui.repaints):
        _show_last(session, ui)


def _switch(session: "Session", ui: "FrontEnd", word: str) -> None:
    if word == "off":
        session.settings.pop("logprobs", None)
        session.heat = "off"
        say(ui, "no alternatives are kept, no colours shown")
        return
    if word.isascii() and word.isdecimal():
        if not 0 < int(word) <= MOST:
            raise InputError(f"{word} alternatives cannot be kept", f"1 to {MOST}, or off")
        session.set("logprobs", int(word))
    elif word != "on" and word not in KINDS:
        raise InputError(f"'{word}' is not one of on, off, bits, rank, entropy or a number", "/help logprobs")
    elif not session.settings.get("logprobs"):
        session.set("logprobs", USUAL)
    if word in KINDS:
        session.heat = cast("Heat", word)
    elif session.heat == "off":
        session.heat = "bits"
    say(ui, f"{_kept(session)} alternatives are kept at each token; colours show {session.heat}")


def _kept(session: "Session") -> int:
    value = session.settings.get("logprobs")
    return value if isinstance(value, int) else 0


def _show_last(session: "Session", ui: "FrontEnd") -> None:
    found = [x for x in session.last_line() if x.answer.steps]
    kind: Heat = "bits" if session.heat == "off" else session.heat
    if found:
        text = found[0].answer.text
        readings = tuple(reading(x) for x in found)
        ui.show(HeatMap(text=text, context=found[0].prompt, heat=kind, readings=readings))


async def _look(session: "Session", ui: "FrontEnd", words: "Sequence[str]") -> None:
    """``[#id] [table | @i | KIND]``."""
    named = [word for word in words if _NUMBER.fullmatch(word)]
    places = [int(match[1]) for word in words if (match := _PLACE.fullmatch(word))]
    kinds = [word for word in words if word in KINDS]
    if strange := [w for w in words if w not in (*named, *kinds, "table") and not _PLACE.fullmatch(w)]:
        raise InputError(f"'{strange[0]}' is not a view", "/logprobs #id [bits|rank|entropy|table|@i]")
    exchange = await recall(session, named[0]) if named else _last(session)
    if not exchange.done:
        raise InputError(f"#{exchange.id} has not ended yet", "wait for it, or /stop")
    told = await _told(session, ui, exchange, deep=bool(places) or "table" in words)
    for at in places:
        if at >= len(told.tokens):
            raise InputError(
                f"#{exchange.id} has no token @{at}", f"it has {len(told.tokens):,}: @0 is the first"
            )
        before = "".join(token.piece.decode(errors="replace") for token in told.tokens[:at])
        ui.show(
            Position(
                model=exchange.model, exchange=exchange.id, index=at, before=before, token=told.tokens[at]
            )
        )
    if "table" in words:
        ui.show(Positions(model=exchange.model, exchange=exchange.id, tokens=told.tokens))
    elif not places:
        kind = cast("Heat", kinds[0] if kinds else "bits" if session.heat == "off" else session.heat)
        ui.show(HeatMap(text=exchange.answer.text, context=exchange.prompt, heat=kind, readings=(told,)))


def _last(session: "Session") -> "Exchange":
    last = session.last_line()
    if not last:
        raise InputError("nothing has been asked yet", "type a prompt, or name an answer: /logprobs #id")
    return last[0]


async def _told(session: "Session", ui: "FrontEnd", exchange: "Exchange", *, deep: bool) -> Reading:
    """What the answer brought, else what its model says of it now."""
    steps = exchange.answer.steps
    known = all(step.raw_lp is not None and (step.top or not deep) for step in steps[1:] or steps)
    if steps and known:
        return reading(exchange)
    lacking = "log-probabilities" if not steps or steps[-1].raw_lp is None else "alternatives"
    if exchange.identity.spec.backend == "ensemble":
        raise InputError(
            f"#{exchange.id} kept no {lacking}, and several models wrote it: none of them can read it again",
            "/logprobs on, then /ensemble once more with the same seed",
        )
    if exchange.model not in session.models:
        raise InputError(
            f"#{exchange.id} kept no {lacking}, and {exchange.model} is not configured here",
            "start with that model",
        )
    if exchange.request.task not in ("generate", "score"):
        raise InputError(
            f"#{exchange.id} has no {lacking}: {exchange.model} was to {exchange.request.task}",
            "name an answer or a text that was scored; /history lists answers",
        )
    written = exchange.request.task == "generate"
    asked = scoring_answer(session, exchange.model, exchange) if written else like(exchange)
    params = {**asked.params, "logprobs": max(USUAL, _kept(session))}
    (found,) = succeeded(await inquire(session, [replace(asked, params=params)]))
    say(ui, f"#{exchange.id} kept no {lacking}: {exchange.model} has read it once more, as #{found.id}")
    if not written:
        return reading(found)
    return Reading(
        model=exchange.model,
        tokens=tokens(found.answer.steps),
        notes=found.notes,
        exchange=exchange.id,
        opening="the prompt",
    )


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "on", f"keep the {USUAL} likeliest tokens at each position"
        yield "off", "keep none, and colour nothing"
        yield from KINDS.items()
        yield from number_offers(session, before, begun)
    elif len(before) == 1 and _NUMBER.fullmatch(before[0]):
        yield "table", "a line for each token"
        yield from KINDS.items()
        exchange = next((x for x in session.exchanges if f"#{x.id}" == before[0]), None)
        for step in exchange.answer.steps[:1000] if exchange is not None else ():
            yield f"@{step.index}", piece_text(step.piece)


COMMANDS = (
    Command(
        name="logprobs",
        usage="[on | off | bits | rank | entropy | N] | [#id] [table | @i | bits | rank | entropy]",
        help="keep and show what models thought of each token",
        details=(
            "/logprobs on keeps the 5 likeliest tokens at each position of the answers to come "
            "(/logprobs 20: 20) and colours answers by surprisal; rank and entropy colour them so. "
            "/logprobs #18 shows an answer as a heat map, /logprobs #18 table a line for each token with "
            "the likeliest there, /logprobs #18 @4 one position. Figures are of the model's own "
            "distribution at temperature 1."
        ),
        handler=_logprobs,
        offers=_offers,
        slow=True,
    ),
)
