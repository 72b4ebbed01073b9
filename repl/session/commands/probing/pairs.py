"""Minimal pairs: ``/minpair``."""

from typing import TYPE_CHECKING, Any

from repl.probe.pairs import Judged, Judgement, MinimalPair, Pair, PairReport
from repl.probe.tokens import tokens, totals
from repl.session.commands.base import Command
from repl.session.commands.probing.scoring import HOW, manner_offers, reading
from repl.session.commands.probing.texts import (
    MANNERS,
    Line,
    Manner,
    chosen_models,
    context_and,
    file_offers,
    in_order,
    json_object,
    manner,
    options,
    read_lines,
    scoring,
    those_that_could,
)
from repl.session.errors import InputError
from repl.session.inquiry import inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

GOOD = ("sentence_good", "good", "grammatical", "a")
BAD = ("sentence_bad", "bad", "ungrammatical", "b")
GROUP = ("UID", "group", "phenomenon", "linguistics_term")
"""Fields of a JSON line, the first that it has counts; the first of each are BLiMP's."""


async def _minpair(session: "Session", ui: "FrontEnd", argument: str) -> None:
    chosen, text = options(argument, MANNERS)
    how = manner(chosen)
    if text.startswith("@"):
        await _file(session, ui, text[1:].strip(), how)
        return
    context, both = context_and(text)
    lead = " " if both[:1].isspace() else ""
    parts = [part.strip() for part in both.split("|")]
    if len(parts) != 2 or not all(parts):
        raise InputError("which two texts?", "/minpair A | B, /minpair CONTEXT => A | B, or /minpair @FILE")
    a, b = (lead + part for part in parts)
    models = chosen_models(session)
    asked = [scoring(session, model, context, text, how) for model in models for text in (a, b)]
    found = await inquire(session, asked)
    both_done = [x for one in zip(found[::2], found[1::2], strict=True) for x in _together(*one)]
    done = those_that_could(ui, both_done)
    pairs = [
        Pair(a=reading(x), b=reading(y)) for x, y in zip(found[::2], found[1::2], strict=True) if y in done
    ]
    ui.show(MinimalPair(a=a, b=b, pairs=tuple(pairs)))


def _together(a: "Exchange", b: "Exchange") -> "list[Exchange]":
    """The second if both have finished, else the one that has not."""
    return [next((x for x in (a, b) if x.state != "finished"), b)]


async def _file(session: "Session", ui: "FrontEnd", name: str, how: Manner) -> None:
    lines = [_pair(name, line) for line in await read_lines(name)]
    models = list(chosen_models(session))
    asked = [
        scoring(session, model, "", text, how)
        for pair in lines
        for model in models
        for text in (pair.good, pair.bad)
    ]
    judged: dict[str, list[Judged]] = {model: [] for model in models}
    waiting: list[Exchange] = []
    async for exchange in in_order(session, asked):
        waiting.append(exchange)
        if len(waiting) == 2:
            mine = judged[exchange.model]
            mine.append(_judged(lines[len(mine)], *waiting))
            waiting = []
    found = [Judgement(model=model, judged=tuple(pairs)) for model, pairs in judged.items()]
    ui.show(PairReport(file=name, judgements=tuple(found)))


def _judged(pair: Judged, good: "Exchange", bad: "Exchange") -> Judged:
    for x in (good, bad):
        if x.state != "finished":
            error = x.error.message if x.error is not None else "stopped"
            return Judged(line=pair.line, good=pair.good, bad=pair.bad, group=pair.group, error=error)
    a, b = (totals(tokens(x.answer.steps)).nats for x in (good, bad))
    nats = 0.0 if a == b else a - b
    return Judged(line=pair.line, good=pair.good, bad=pair.bad, group=pair.group, nats=nats)


def _pair(name: str, line: Line) -> Judged:
    """A line of the file: JSON, or the good and the bad text with a tab between."""
    value = json_object(name, line)
    if value is not None:
        good, bad = _field(value, GOOD), _field(value, BAD)
        group = _field(value, GROUP)
    else:
        good, bad, group = [*line.text.split("\t"), "", "", ""][:3]
    if not good.strip() or not bad.strip():
        raise InputError(
            f"{name} line {line.number} is no pair",
            'GOOD, a tab, BAD; or {"sentence_good": ..., "sentence_bad": ...}',
        )
    return Judged(line=line.number, good=good, bad=bad, group=group)


def _field(value: dict[str, Any], names: tuple[str, ...]) -> str:
    found = next((value[name] for name in names if name in value), "")
    return found if isinstance(found, str) else ""


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    yield from manner_offers(session, before, begun)
    if all("=" in word for word in before):
        yield from file_offers(begun)


COMMANDS = (
    Command(
        name="minpair",
        usage="[opening=... closing=on] [CONTEXT =>] A | B | @FILE",
        help="which of two texts a model finds likelier; a file of pairs gives an accuracy",
        details=(
            "/minpair The keys are here. | The keys is here. shows ln P(A) - ln P(B) and the tokens side by "
            "side. In a FILE each line is a pair, the good text first, with a tab between, or JSON with "
            "sentence_good and sentence_bad (BLiMP) or good and bad; UID or group parts the accuracy. "
            f"A tie counts as wrong; the interval is Wilson's. {HOW}"
        ),
        handler=_minpair,
        offers=_offers,
        slow=True,
    ),
)
