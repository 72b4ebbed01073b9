"""How far two models are apart along one text: `/diverge`, and `/accept` for speculative decoding."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repl.probe.acceptance import acceptance
from repl.probe.gaps import Read, gaps
from repl.probe.noise import Noise
from repl.probe.parting import Divergence, part
from repl.probe.spans import spelled
from repl.session.commands.base import Command, model_offers, number_offers, one_model
from repl.session.commands.probing.forcing import Reading, chosen, must_score, one_vocabulary, pair
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.session.inquiry import inquire, succeeded
from repl.session.record.rows import Divergence as Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

DIVERGE = "/diverge A B [PROMPT | #id]"
ACCEPT = "/accept DRAFT>TARGET [PROMPT | #id]"
OTHER_VOCABULARY = (
    "different vocabularies: only the text's surprisal can be compared, on the bytes both delimit"
)


async def _diverge(session: "Session", ui: FrontEnd, argument: str) -> None:
    a, b, rest = pair(session, argument, DIVERGE)
    for model in (a, b):
        await must_score(session, model)
    text = await chosen(session, a, rest)
    if not await one_vocabulary(session, (a, b)):
        await _gaps(session, ui, a, b, text)
        return
    found = await _parted(session, a, b, text, "diverge")
    ui.show(found)


async def _gaps(session: "Session", ui: FrontEnd, a: str, b: str, text: Reading) -> None:
    if not text.text:
        raise InputError("the answer has no text", "name another: " + DIVERGE)
    asked = [text.inquiry(model, "diverge", by_ids=False, distributions=False) for model in (a, b)]
    first, second = succeeded(await inquire(session, asked))
    notes = (OTHER_VOCABULARY, *_notes((first, second)))
    try:
        ui.show(gaps(_read(first), _read(second), along=text.exchange, notes=notes))
    except ValueError:
        raise InputError(
            f"{a} and {b} read nothing of this text alike",
            "unknown words, say; /tok shows how each takes it apart",
        ) from None


def _read(exchange: "Exchange") -> Read:
    return Read(model=exchange.model, exchange=exchange.id, tokens=spelled(exchange.answer.steps))


async def _accept(session: "Session", ui: FrontEnd, argument: str) -> None:
    names, _, rest = argument.partition(" ")
    draft, arrow, target = names.partition(">")
    if not (draft and arrow and target):
        raise InputError("which draft for which target?", ACCEPT)
    draft, target = one_model(session, draft), one_model(session, target)
    for model in (target, draft):
        await must_score(session, model)
    if not await one_vocabulary(session, (target, draft)):
        raise InputError(
            f"{draft} and {target} have different vocabularies", "a draft must share the target's"
        )
    text = await chosen(session, target, rest.strip())
    found = await _parted(session, target, draft, text, "accept")
    try:
        ui.show(acceptance(draft, target, found.positions, along=text.exchange, notes=found.notes))
    except ValueError:
        raise InputError("the models told no distributions here", ACCEPT) from None


async def _parted(session: "Session", a: str, b: str, text: Reading, how: str) -> Divergence:
    """Force both along a text by the same tokens; what they expected is compared, and kept in the record."""
    if not text.ids:
        raise InputError("there are no tokens to follow", "name an answer that has some")
    whole = [(await must_score(session, model)).distributions for model in (a, b)]
    asked = [text.inquiry(model, how, by_ids=True, distributions=all(whole)) for model in (a, b)]
    first, second = succeeded(await inquire(session, asked))
    notes = list(_notes((first, second)))
    if not all(whole):
        blind = " and ".join(model for model, has in zip((a, b), whole, strict=True) if not has)
        notes.append(f"{blind} tells no whole distribution: bounds from the likeliest tokens")
    found = await asyncio.to_thread(
        part,
        (a, first.id, first.answer.steps),
        (b, second.id, second.answer.steps),
        along=text.exchange,
        noise_js=floor(session, (a, b)),
        notes=notes,
    )
    session.store.record_comparison(first.id, second.id, rows(found))
    return found


def floor(session: "Session", models: Sequence[str]) -> float | None:
    """The most that noise alone was seen to do to any of the models, JS in nats; None if never measured."""
    seen = [
        figure.floor_js
        for figure in session.figures
        if isinstance(figure, Noise) and figure.model in models and figure.floor_js is not None
    ]
    return max(seen, default=None)


def rows(found: Divergence) -> list[Row]:
    """As the record keeps it."""
    return [
        Row(
            pos=at,
            kl=position.apart.kl,
            js=position.apart.js,
            tv=position.apart.tv,
            argmax_eq=position.apart.same_argmax,
            kl_kind=position.apart.kind,
        )
        for at, position in enumerate(found.positions)
        if position.apart is not None
    ]


def _notes(exchanges: "Sequence[Exchange]") -> "Iterable[str]":
    return (f"{x.model}: {note}" for x in exchanges for note in x.notes)


def _diverge_offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    return model_offers(session, before, begun) if len(before) < 2 else number_offers(session, before, begun)


def _accept_offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    if before:
        yield from number_offers(session, before, begun)
        return
    for draft in session.models:
        for target in session.models:
            if draft != target:
                yield f"{draft}>{target}", f"{draft} proposes, {target} decides"


COMMANDS = (
    Command(
        name="diverge",
        usage="A B [PROMPT | #id]",
        help="how far two models are apart at each token of the first one's answer",
        details=(
            "Both are forced along the same tokens in the exact lane: A's answer to PROMPT, the answer #id, "
            "or A's last one. At each position KL(A || B), JS and TV over the whole vocabulary, and whether "
            "the first choices agree. The first position where they do not is shown with both top-5, and so "
            "is the worst. A model that tells no whole distributions gives lower bounds, shown as >=. Models "
            "of different vocabularies are compared by surprisal on the bytes both delimit. After /noise, "
            "what is no further apart than noise is marked ~.\n\n"
            "/diverge lm-late lm-early The with statement\n"
            "/diverge lm-late lm-early #18"
        ),
        handler=_diverge,
        offers=_diverge_offers,
        slow=True,
    ),
    Command(
        name="accept",
        usage="DRAFT>TARGET [PROMPT | #id]",
        help="how often a target model would take a draft's proposals",
        details=(
            "The acceptance rate of speculative decoding, 1 - TV of the two distributions at each token of "
            "the target's answer, and the tokens that a pass of the target would bring.\n\n"
            "/accept lm-early>lm-late The with statement"
        ),
        handler=_accept,
        offers=_accept_offers,
        slow=True,
    ),
)
