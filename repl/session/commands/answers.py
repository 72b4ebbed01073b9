"""Commands about answers: stop, retry, edit, copy, and starting a conversation anew."""

from typing import TYPE_CHECKING

from repl.session.commands.base import (
    Command,
    chosen_or_last,
    model_offers,
    number_offers,
    one_model,
    say,
    shorten,
)
from repl.session.decoding import fresh_seed
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session


async def _stop(session: "Session", ui: FrontEnd, argument: str) -> None:
    count = session.stop(one_model(session, argument) if argument else None)
    if count == 0:
        say(ui, "nothing is running")


async def _retry(session: "Session", ui: FrontEnd, argument: str) -> None:
    words = argument.split()
    anew = "new" in words
    exchanges = await chosen_or_last(session, [word for word in words if word != "new"])
    session.retry(exchanges, seed=fresh_seed() if anew else None)


def _retry_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if "new" not in before:
        yield "new", "with another seed"
    yield from number_offers(session, before, begun)


async def _edit(session: "Session", ui: FrontEnd, argument: str) -> None:
    words = argument.split()
    if len(words) > 1:
        raise InputError("one line can be edited at a time", "/edit #id")
    exchanges = await chosen_or_last(session, words)
    line = exchanges[0].line
    session.editing = [x for x in session.exchanges if x.line == line and x.origin is None]
    ui.prefill(exchanges[0].prompt)


async def _reset(session: "Session", ui: FrontEnd, argument: str) -> None:
    models = [one_model(session, word) for word in argument.split()] or list(session.models)
    for model in models:
        session.conversations.reset(model)
    session.editing = []
    say(ui, f"a new conversation with {', '.join(models)}", "the earlier ones stay in /history")


async def _copy(session: "Session", ui: FrontEnd, argument: str) -> None:
    exchanges = await chosen_or_last(session, argument.split())
    if len(exchanges) == 1:
        text = exchanges[0].answer.text
    else:
        text = "\n\n".join(f"{x.model} #{x.id}:\n{x.answer.text}" for x in exchanges)
    names = " ".join(f"#{x.id}" for x in exchanges)
    if not text:
        raise InputError(f"{names} has no text yet", "wait for it, or name another: /copy #id")
    if not ui.copy(text):
        raise InputError(
            "there is no clipboard to copy to", "select with the mouse, or /export FILE.md writes a file"
        )
    say(ui, f"copied {names}: {shorten(text, 40)}")


COMMANDS = (
    Command(
        name="stop",
        usage="[model]",
        help="stop the running answers; what is there stays",
        handler=_stop,
        offers=model_offers,
    ),
    Command(
        name="retry",
        usage="[#id ...] [new]",
        help="ask the last line again, or #id; `new` draws another seed",
        details=(
            "The settings of now count, the seed is the one it had, so that unchanged settings give an "
            "unchanged answer. In a chat the new answer takes the old one's place; later turns go with it."
        ),
        handler=_retry,
        offers=_retry_offers,
    ),
    Command(
        name="edit",
        usage="[#id]",
        help="put the last prompt, or that of #id, into the input",
        details="In a chat the next line then takes the old one's place; later turns go with it.",
        handler=_edit,
        offers=number_offers,
    ),
    Command(
        name="reset",
        usage="[model ...]",
        help="start a new conversation",
        handler=_reset,
        offers=model_offers,
    ),
    Command(
        name="copy",
        usage="[#id ...]",
        help="copy the last answers, or those named",
        handler=_copy,
        offers=number_offers,
    ),
)
