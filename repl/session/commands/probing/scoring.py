"""Scoring texts as they stand, token by token."""

from typing import TYPE_CHECKING

from repl.probe.heatmap import HeatMap, Reading
from repl.probe.tokens import tokens
from repl.session.commands.base import Command
from repl.session.errors import InputError
from repl.session.inquiry import Inquiry, inquire, succeeded

if TYPE_CHECKING:
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session


async def _score(session: "Session", ui: "FrontEnd", argument: str) -> None:
    if not argument:
        raise InputError("which text?", "/score TEXT, or /score CONTEXT => TEXT")
    context, arrow, text = argument.partition("=>")
    prompt, target = (context.strip(), text.lstrip()) if arrow else ("", argument)
    asked = [Inquiry(model=model, prompt=prompt, target=target) for model in session.comparison]
    found = succeeded(await inquire(session, asked))
    ui.show(HeatMap(text=target, readings=tuple(reading(x) for x in found)))


def reading(exchange: "Exchange") -> Reading:
    """What a model made of the text it was given."""
    return Reading(
        model=exchange.model,
        tokens=tokens(exchange.answer.steps),
        notes=exchange.notes,
        exchange=exchange.id,
    )


COMMANDS = (
    Command(
        name="score",
        usage="[CONTEXT =>] TEXT",
        help="how surprising each token of a text is to the chosen models",
        handler=_score,
        slow=True,
    ),
)
