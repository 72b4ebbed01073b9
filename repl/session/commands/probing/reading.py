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
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

CHOICES = 5
"""Words for a gap, unless ``/logprobs N`` asks for more."""


async def _classify(session: "Session", ui: "FrontEnd", argument: str) -> None:
    text = await _text(session, argument, "/classify TEXT or /classify #id")
    models = _able(session, "classify")
    asked = [Inquiry(model=model, task="classify", prompt=text) for model in models]
    found = []
    for x in await _asked(session, ui, asked):
        if isinstance(reading := x.reading, Labelled):
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
        await _pll(session, ui, text)
        return
    text = await _text(session, argument, "/cloze The cat [MASK] on the mat, or /cloze pll TEXT")
    wanted = session.settings.get("logprobs")
    params = {"logprobs": max(CHOICES, wanted if isinstance(wanted, int) else 0)}
    asked = [
        Inquiry(model=model, task="fill", prompt=text, params=params) for model in _able(session, "fill")
    ]
    found = []
    for x in await _asked(session, ui, asked):
        if isinstance(reading := x.reading, Filled):
            found.append(Gaps(model=x.model, exchange=x.id, filled=reading, notes=x.notes))
    if not found:
        raise InputError("no model filled the gaps", "/models lists what is configured")
    ui.show(Cloze(text=text, models=tuple(found)))


async def _pll(session: "Session", ui: "FrontEnd", text: str) -> None:
    """The pseudo-log-likelihood by masked models; what others would say of the text is something else."""
    models = [model for model in _able(session, "fill") if _masked(session, model)]
    found = await inquire(session, [scoring(session, model, "", text, Manner()) for model in models])
    asked = [x for x in found if _masked(session, x.model)]
    if not asked:
        raise InputError("no configured model is a masked one", "/score TEXT asks those that write")
    done = those_that_could(ui, asked)
    ui.show(HeatMap(text=text, readings=tuple(as_reading(x) for x in done)))


async def _text(session: "Session", argument: str, usage: str) -> str:
    if not argument:
        raise InputError("which text?", usage)
    if NUMBER.fullmatch(argument):
        exchange = await recall(session, argument)
        return exchange.answer.text or exchange.prompt
    return argument


def _able(session: "Session", task: "Task") -> list[str]:
    """The chosen models that can do ``task``; if none is known to, all configured ones that may.

    A model that has not loaded yet may be able. If no model is, the chosen ones will say so.
    """
    chosen = chosen_models(session)
    known = {model: session.capabilities(model) for model in session.models}
    sure = [m for m in chosen if (c := known[m]) is not None and task in c.tasks]
    return sure or [m for m, c in known.items() if c is None or task in c.tasks] or chosen


async def _asked(session: "Session", ui: "FrontEnd", inquiries: "Sequence[Inquiry]") -> "list[Exchange]":
    """What finished; a model that nobody chose and that turns out to be unable is passed over in silence."""
    found = await inquire(session, inquiries)
    able = [x for x in found if x.error is None or x.error.kind != "unsupported"]
    if not able:
        what = {"fill": "fills gaps", "classify": "tells labels"}[inquiries[0].task]
        raise InputError(
            f"no model here {what}: {', '.join(x.model for x in found)} cannot",
            "name one with --model, or --config encoders, which opens one that comes along",
        )
    kept = [x for x in found if x in able or x.model in session.comparison]
    return those_that_could(ui, kept if able and kept else found)


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
