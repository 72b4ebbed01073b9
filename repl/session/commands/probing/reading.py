"""Models that read instead of write: ``/classify`` and ``/cloze``."""

from typing import TYPE_CHECKING

from repl.probe.heatmap import HeatMap
from repl.probe.labels import Classes, Cloze, Gaps, Labels
from repl.readings import Filled, Labelled
from repl.session.commands.base import Command, number_offers, recall
from repl.session.commands.probing.scoring import NUMBER
from repl.session.commands.probing.scoring import reading as as_reading
from repl.session.commands.probing.texts import Manner, chosen_models, scoring, those_that_could
from repl.session.errors import InputError
from repl.session.inquiry import Inquiry, inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.messages import Task
    from repl.session.commands.base import Offer
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

CHOICES = 5
"""Words for a gap, unless ``/logprobs N`` asks for more."""


async def _classify(session: "Session", ui: "FrontEnd", argument: str) -> None:
    text = await _text(session, argument, "/classify TEXT or /classify #id")
    models = _able(session, "classify")
    asked = [Inquiry(model=model, task="classify", prompt=text) for model in models]
    found = []
    for x in those_that_could(ui, await inquire(session, asked)):
        reading = getattr(x.answer.terminal, "reading", None)
        if isinstance(reading, Labelled):
            found.append(
                Labels(
                    model=x.model,
                    exchange=x.id,
                    labels=reading.labels,
                    exclusive=reading.exclusive,
                    notes=x.notes,
                )
            )
    if not found:
        raise InputError("no model told labels", "/models lists what is configured")
    ui.show(Classes(text=text, models=tuple(found)))


async def _cloze(session: "Session", ui: "FrontEnd", argument: str) -> None:
    word, _, rest = argument.partition(" ")
    if word == "pll":
        text = await _text(session, rest.strip(), "/cloze pll TEXT")
        models = [model for model in _able(session, "fill") if _masked(session, model)]
        if not models:
            raise InputError("no configured model is a masked one", "/score TEXT asks those that write")
        asked = [scoring(session, model, "", text, Manner()) for model in models]
        done = those_that_could(ui, await inquire(session, asked))
        ui.show(HeatMap(text=text, readings=tuple(as_reading(x) for x in done)))
        return
    text = await _text(session, argument, "/cloze The cat [MASK] on the mat, or /cloze pll TEXT")
    wanted = session.settings.get("logprobs")
    params = {"logprobs": max(CHOICES, wanted if isinstance(wanted, int) else 0)}
    asked = [
        Inquiry(model=model, task="fill", prompt=text, params=params) for model in _able(session, "fill")
    ]
    found = []
    for x in those_that_could(ui, await inquire(session, asked)):
        reading = getattr(x.answer.terminal, "reading", None)
        if isinstance(reading, Filled):
            found.append(Gaps(model=x.model, exchange=x.id, filled=reading, notes=x.notes))
    if not found:
        raise InputError("no model filled the gaps", "/models lists what is configured")
    ui.show(Cloze(text=text, models=tuple(found)))


async def _text(session: "Session", argument: str, usage: str) -> str:
    if not argument:
        raise InputError("which text?", usage)
    if NUMBER.fullmatch(argument):
        exchange = await recall(session, argument)
        return exchange.answer.text or exchange.prompt
    return argument


def _able(session: "Session", task: "Task") -> list[str]:
    """The chosen models that can do ``task``; if none can, all configured ones that can; else the chosen."""
    chosen = chosen_models(session)

    def able(model: str) -> bool:
        capabilities = session.capabilities(model)
        return capabilities is not None and task in capabilities.tasks

    return [m for m in chosen if able(m)] or [m for m in session.models if able(m)] or chosen


def _masked(session: "Session", model: str) -> bool:
    """Whether it is one, as far as is known."""
    capabilities = session.capabilities(model)
    return capabilities is None or capabilities.kind == "masked"


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "pll", "the pseudo-log-likelihood of a text"


COMMANDS = (
    Command(
        name="cloze",
        usage="TEXT with [MASK] | pll TEXT",
        help="what masked models put into the gaps of a text",
        details=(
            "/cloze Paris is the [MASK] of France. shows the likeliest tokens for each gap, by every chosen "
            "masked model, or by all configured ones where none is chosen; write the gap as the model's own "
            "mask token. /cloze pll TEXT is its pseudo-log-likelihood: each token masked in turn, as /score "
            "does with a masked model."
        ),
        handler=_cloze,
        offers=_offers,
        slow=True,
    ),
    Command(
        name="classify",
        usage="TEXT | #id",
        help="labels with probabilities, by every classifier",
        details="/classify I liked it. asks the chosen classifiers, or all there are if none is chosen.",
        handler=_classify,
        offers=number_offers,
        slow=True,
    ),
)
