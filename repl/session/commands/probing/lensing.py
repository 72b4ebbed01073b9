"""What each layer would predict: ``/lens``."""

import re
from typing import TYPE_CHECKING

from repl.probe.layers import Layers, LayersAt
from repl.readings import Lens
from repl.session.commands.base import Command, number_offers
from repl.session.commands.probing.pointing import answer_named
from repl.session.commands.probing.scoring import NUMBER, remarkable
from repl.session.commands.probing.texts import (
    Manner,
    chosen_models,
    context_and,
    scoring,
    scoring_answer,
    those_that_could,
)
from repl.session.errors import InputError
from repl.session.inquiry import Inquiry, inquire

if TYPE_CHECKING:
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

from dataclasses import replace

_PLACE = re.compile(r"(?:^|\s)@(\d{1,6})$")


async def _lens(session: "Session", ui: "FrontEnd", argument: str) -> None:
    match = _PLACE.search(argument)
    text = argument[: match.start()].rstrip() if match else argument
    if not text:
        raise InputError("which text?", "/lens TEXT, /lens CONTEXT => TEXT or /lens #id; @i for one position")
    asked: list[Inquiry]
    if NUMBER.fullmatch(text):
        answer, _ = await answer_named(session, text)
        asked = [replace(scoring_answer(session, answer.model, answer), task="lens")]
    else:
        context, target = context_and(text)
        asked = [
            replace(scoring(session, model, context, target, Manner()), task="lens")
            for model in chosen_models(session)
        ]
    for exchange in those_that_could(ui, await inquire(session, asked)):
        if isinstance(reading := exchange.reading, Lens):
            ui.show(_at(exchange, reading, int(match[1])) if match else _whole(exchange, reading))


def _whole(exchange: "Exchange", reading: Lens) -> Layers:
    return Layers(
        model=exchange.model,
        exchange=exchange.id,
        ids=reading.ids,
        pieces=reading.pieces,
        layers=reading.layers,
        notes=remarkable(exchange),
    )


def _at(exchange: "Exchange", reading: Lens, place: int) -> LayersAt:
    if place >= len(reading.pieces):
        raise InputError(
            f"{exchange.model} read {len(reading.pieces):,} tokens: there is no @{place}", "@0 is the first"
        )
    following = reading.pieces[place + 1] if place + 1 < len(reading.pieces) else None
    return LayersAt(
        model=exchange.model,
        exchange=exchange.id,
        position=place,
        before=reading.pieces[: place + 1],
        following=following,
        layers=tuple(layer[place] for layer in reading.layers),
    )


COMMANDS = (
    Command(
        name="lens",
        usage="[CONTEXT =>] TEXT | #id [@i]",
        help="what each layer of a model would predict at each token",
        details=(
            "The logit lens: the state after each layer, read by the model's own last norm and output head. "
            "A cell shows the first choice, = where that is the token that really follows, and as colour and "
            "mark the divergence of the last layer from this one. /lens #18 takes an answer with its prompt, "
            "/lens TEXT @4 shows one position with all numbers. Layer 0 are the embeddings; the last layer's "
            "row is what the model predicts."
        ),
        handler=_lens,
        offers=number_offers,
        slow=True,
    ),
)
