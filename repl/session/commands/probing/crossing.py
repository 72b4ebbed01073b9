"""What each model makes of each other's answers: ``/cross``."""

from typing import TYPE_CHECKING

from repl.probe.matrix import Cell, Column, Cross
from repl.probe.tokens import tokens, totals
from repl.session.commands.base import Command, number_offers
from repl.session.commands.probing.pointing import answer_named
from repl.session.commands.probing.texts import scoring_answer
from repl.session.errors import InputError
from repl.session.frontend import Notice
from repl.session.inquiry import inquire

if TYPE_CHECKING:
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session


async def _cross(session: "Session", ui: "FrontEnd", argument: str) -> None:
    if argument:
        answers = [(await answer_named(session, word))[0] for word in argument.split()]
    else:
        last = session.last_line()
        answers = [(await answer_named(session, f"#{x.id}"))[0] for x in last]
    if not answers:
        raise InputError("nothing has been asked yet", "ask several models, or /cross #id #id")
    for answer in [x for x in answers if not x.answer.text]:
        ui.show(Notice("warning", f"#{answer.id} is left out: it has no text"))
        answers.remove(answer)
    models = list(dict.fromkeys([*(x.model for x in answers), *session.comparison]))
    asked = [scoring_answer(session, model, answer) for model in models for answer in answers]
    found = await inquire(session, asked)
    size = len(answers)
    cells = tuple(
        tuple(_cell(x, answer) for x, answer in zip(found[at : at + size], answers, strict=True))
        for at in range(0, len(found), size or 1)
    )
    if not any(cell.bits_per_byte is not None for line in cells for cell in line):
        error = next((x.error for x in found if x.error is not None), None)
        raise InputError(
            error.message if error else "there is nothing to compare", error.hint if error else ""
        )
    columns = tuple(Column(exchange=x.id, model=x.model, text=x.answer.text) for x in answers)
    notes = dict.fromkeys(f"{x.model}: {x.error.message}" for x in found if x.error is not None)
    ui.show(Cross(models=tuple(models), answers=columns, cells=cells, notes=tuple(notes)))


def _cell(exchange: "Exchange", answer: "Exchange") -> Cell:
    own = exchange.model == answer.model
    if exchange.state != "finished":
        return Cell(bits_per_byte=None, own=own)
    sums = totals(tokens(exchange.answer.steps))
    size = len(answer.answer.text.encode()) or sums.bytes
    return Cell(
        bits_per_byte=sums.bits_per_token * sums.tokens / size if size and sums.tokens else None,
        nats=sums.nats,
        tokens=sums.tokens,
        own=own,
    )


COMMANDS = (
    Command(
        name="cross",
        usage="[#id ...]",
        help="how surprising each model's answer is to every other model, in bits/byte",
        details=(
            "The answers of the last line, or those named, are scored after their prompts by every model "
            "that gave one and every chosen model. All figures of a column are over the same bytes, those of "
            "the answer; the diagonal is a model on its own answer."
        ),
        handler=_cross,
        offers=number_offers,
        slow=True,
    ),
)
