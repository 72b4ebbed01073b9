"""The hypotheses of a search, with their scores: ``/nbest``."""

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from repl.probe.nbest import Candidate, NBest
from repl.probe.tokens import tokens, totals
from repl.session.commands.base import Command, number_offers, say
from repl.session.commands.probing.pointing import answer_named
from repl.session.commands.probing.scoring import NUMBER
from repl.session.commands.probing.texts import those_that_could
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import Notice
from repl.session.inquiry import Inquiry, inquire, like

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.messages import Hypothesis
    from repl.params import Value
    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

USUAL = 5
MOST = 256


async def _nbest(session: "Session", ui: "FrontEnd", argument: str) -> None:
    count, number, penalty = _read(argument)
    if number:
        answers = [(await answer_named(session, number))[0]]
    else:
        await answer_named(session, "")  # says why, if there is none
        answers = [
            x for x in session.last_line() if x.request.task == "generate" and x.model in session.models
        ]
    lists = await _lists(session, ui, answers, count)
    found = [(x, hypothesis) for x in lists for hypothesis in x.answer.hypotheses]
    raw = iter(await inquire(session, [_scored(*both) for both in found]))
    for exchange in lists:
        hypotheses = exchange.answer.hypotheses
        if not hypotheses:
            ui.show(Notice("warning", f"{exchange.model} gives no list of hypotheses"))
            continue
        if count is not None and len(hypotheses) < count:
            say(ui, f"{exchange.model} found {len(hypotheses):,} hypotheses, not {count:,}")
        ui.show(_figure(exchange, list(islice(raw, len(hypotheses))), count, penalty))


def _figure(
    exchange: "Exchange", raw: "Sequence[Exchange]", count: int | None, penalty: float | None
) -> NBest:
    failed = dict.fromkeys(x.error.message for x in raw if x.error is not None)
    candidates = [_candidate(*both) for both in zip(exchange.answer.hypotheses, raw, strict=True)]
    return NBest(
        model=exchange.model,
        exchange=exchange.id,
        prompt=exchange.prompt,
        candidates=tuple(candidates[:count]),
        lenpen=exchange.params.length_penalty,
        resorted=penalty,
        notes=(*exchange.notes, *(f"no raw sums: {words}" for words in failed)),
    )


def _read(argument: str) -> tuple[int | None, str, float | None]:
    """How many, of which answer, and the length penalty to sort by."""
    count: int | None = None
    number = ""
    penalty: float | None = None
    for word in argument.split():
        name, equals, value = word.partition("=")
        if NUMBER.fullmatch(word):
            number = word
        elif word.isascii() and word.isdecimal():
            count = int(word)
            if not 1 <= count <= MOST:
                raise InputError(f"{word} hypotheses cannot be had", f"1 to {MOST}")
        elif equals and name in ("lenpen", "length_penalty"):
            try:
                penalty = float(value)
            except ValueError:
                raise InputError(f"'{value}' is no number", "/nbest lenpen=0.6") from None
        else:
            raise InputError(f"'{word}' is not understood", "/nbest [N] [#id] [lenpen=0.6]")
    return count, number, penalty


async def _lists(
    session: "Session", ui: "FrontEnd", answers: "Sequence[Exchange]", count: int | None
) -> "list[Exchange]":
    """The answers, those that brought too few hypotheses searched again."""
    short = [x for x in answers if len(x.answer.hypotheses) < (count or 2)]
    again = await inquire(session, [_wider(x, count or USUAL) for x in short])
    found = dict(zip((x.id for x in short), again, strict=True))
    return those_that_could(ui, [found.get(x.id, x) for x in answers])


def _wider(exchange: "Exchange", count: int) -> Inquiry:
    """The answer's prompt searched again for so many hypotheses, with a beam at least as wide."""
    params = exchange.params
    over: dict[str, Value] = {"n": count, "beam": max(params.beam, count)}
    if params.beam == 1:
        over |= {"temperature": 0.0}
    asked = like(exchange)
    return replace(asked, params={**asked.params, **over}, origin=Origin(exchange.id, how="nbest"))


def _scored(exchange: "Exchange", hypothesis: "Hypothesis") -> Inquiry:
    """What the model itself says of a hypothesis, token by token."""
    request = exchange.request
    return Inquiry(
        model=exchange.model,
        prompt=exchange.prompt,
        history=request.history,
        template=request.template,
        target_ids=hypothesis.tokens,
        params={"truncate": request.params.truncate},
    )


def _candidate(hypothesis: "Hypothesis", raw: "Exchange") -> Candidate:
    scores = hypothesis.token_scores
    sums = totals(tokens(raw.answer.steps)) if raw.state == "finished" else None
    return Candidate(
        text=hypothesis.text,
        length=len(hypothesis.tokens),
        native=hypothesis.score,
        search_nats=sum(scores) if scores else None,
        raw_nats=sums.nats if sums is not None else None,
        bytes=len(hypothesis.text.encode()),
    )


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not any(word.startswith("lenpen=") for word in before):
        yield "lenpen=", "sort by sum / length ** this"
    yield from number_offers(session, before, begun)


COMMANDS = (
    Command(
        name="nbest",
        usage="[N] [#id] [lenpen=X]",
        help="the best N answers to a prompt, with their scores",
        details=(
            "The last answers, or #id, are searched again with a beam of N at least, if they brought fewer. "
            "Native is the score the search ranked by, sum search the sum of its own increments (fairseq's "
            "P-; over the length its H-), sum raw that of the model's log-probabilities. lenpen=0.6 sorts by "
            "sum / length ** 0.6 instead, without searching again: what the search dropped stays dropped."
        ),
        handler=_nbest,
        offers=_offers,
        slow=True,
    ),
)
