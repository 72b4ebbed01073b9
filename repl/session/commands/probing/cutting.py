"""How models cut a text into tokens: ``/tok``."""

from typing import TYPE_CHECKING

from repl.probe.segments import Segmentation, Segmentations
from repl.readings import Tokenized
from repl.session.commands.base import Command, number_offers, recall
from repl.session.commands.probing.scoring import NUMBER
from repl.session.commands.probing.texts import chosen_models, those_that_could, with_model
from repl.session.errors import InputError
from repl.session.inquiry import Inquiry, inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session


async def _tok(session: "Session", ui: "FrontEnd", argument: str) -> None:
    models = chosen_models(session)
    word, _, rest = argument.partition(" ")
    number = rest.strip() if word == "prompt" else argument
    text, read = argument, True
    if NUMBER.fullmatch(number):
        exchange = await recall(session, number)
        read = word == "prompt"
        text = exchange.prompt if read else exchange.answer.text
        models = with_model(session, exchange.model) if exchange.model in session.models else models
        if not text:
            raise InputError(f"#{exchange.id} has no text", "name another answer")
    if not text:
        raise InputError("which text?", "/tok TEXT, /tok #id, or /tok prompt #id for its prompt")
    asked = [
        Inquiry(
            model=model,
            task="tokenize",
            prompt=text if read else "",
            target="" if read else text,
            lane="fast",
        )
        for model in models
    ]
    found = []
    for x in those_that_could(ui, await inquire(session, asked)):
        if isinstance(reading := x.reading, Tokenized):
            found.append(
                Segmentation(
                    model=x.model,
                    ids=reading.ids,
                    pieces=reading.pieces,
                    unknown=reading.unknown,
                    decoded=reading.decoded,
                    text=text,
                    exchange=x.id,
                )
            )
    if not found:
        raise InputError("no model told its tokens", "choose others: /use NAME")
    ui.show(Segmentations(text=text, models=tuple(found)))


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "prompt", "the prompt of an answer, as the model reads it"
    if not before or before == ["prompt"]:
        yield from number_offers(session, (), begun)


COMMANDS = (
    Command(
        name="tok",
        usage="TEXT | #id | prompt #id",
        help="how the chosen models cut a text into tokens",
        details=(
            "The tokens stand in line with the text's bytes, a bar where each begins, then their numbers, "
            "bytes per token, unknown tokens, and what the tokens decode to where that is not the text. "
            "/tok #18 takes an answer, /tok prompt #18 its prompt. Translation models have two vocabularies: "
            "a text and a prompt are cut as the model reads, an answer as it writes."
        ),
        handler=_tok,
        offers=_offers,
        slow=True,
    ),
)
