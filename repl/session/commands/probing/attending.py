"""What an answer's tokens looked at in its source: ``/align``."""

from dataclasses import replace
from typing import TYPE_CHECKING

from repl.probe.attention import Attention, hard
from repl.session.commands.base import Command, number_offers
from repl.session.commands.probing.pointing import answer_named
from repl.session.commands.probing.texts import scoring_answer
from repl.session.errors import InputError
from repl.session.inquiry import inquire, succeeded

if TYPE_CHECKING:
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session


async def _align(session: "Session", ui: "FrontEnd", argument: str) -> None:
    answer, rest = await answer_named(session, argument or _attentive(session))
    if rest:
        raise InputError(f"'{rest}' is too much", "/align [#id]")
    capabilities = session.capabilities(answer.model)
    if capabilities is not None and not capabilities.attention:
        raise InputError(f"{answer.model} does not tell its attention", "translation models do")
    asked = replace(scoring_answer(session, answer.model, answer), attention=True)
    (found,) = succeeded(await inquire(session, [asked]))
    started, hypotheses = found.answer.started, found.answer.hypotheses
    if started is None or not hypotheses or not hypotheses[0].attention:
        raise InputError(f"{answer.model} told no attention", "translation models do")
    weights = hypotheses[0].attention
    source = started.prompt_pieces
    ui.show(
        Attention(
            model=answer.model,
            exchange=answer.id,
            source=source,
            target=tuple(step.piece for step in found.answer.steps[: len(weights)]),
            weights=tuple(row[: len(source)] for row in weights),
            alignment=hypotheses[0].alignment or hard(weights),
            notes=found.notes,
        )
    )


def _attentive(session: "Session") -> str:
    """The number of the first of the last answers whose model tells its attention; empty if there is none."""
    for x in session.last_line():
        capabilities = session.capabilities(x.model)
        if capabilities is not None and capabilities.attention:
            return f"#{x.id}"
    return ""


COMMANDS = (
    Command(
        name="align",
        usage="[#id]",
        help="which tokens of its source each token of a translation looked at",
        details=(
            "The answer is read again by its own model: the weights of the attention over the source, each "
            "line summing to 1, and the hard alignment: for each token of the answer the source token it "
            "looked at most, unless the model tells another."
        ),
        handler=_align,
        offers=number_offers,
        slow=True,
    ),
)
