"""Going on from within an answer: branches, hand-offs to another model, and the tree of them all."""

from dataclasses import replace
from typing import TYPE_CHECKING

from repl.params import Value, changed
from repl.probe.figure import piece_text
from repl.probe.tree import Node, Tree
from repl.session.commands.base import Command, model_offers, number_offers, one_model, recall, say
from repl.session.commands.probing.pointing import Choice, Place, choices, place, place_offers
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry, inquire, like

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

BRANCH = "/branch [#id] @i TOKEN ..."
HANDOFF = "/handoff MODEL [#id] @i"


async def _branch(session: "Session", ui: FrontEnd, argument: str) -> None:
    where, text = await place(session, argument, BRANCH)
    if not text:
        raise InputError(
            "which token should stand there?", f"{BRANCH}: ~2 is the second likeliest, #464 a number, or text"
        )
    found = await choices(session, ui, where, text)
    asked = [branch(where, choice) for choice in found]
    old = piece_text(where.step.piece)
    for choice in found:
        say(ui, f"#{where.exchange.id} @{where.index}: {old} → {choice.words}")
    await inquire(session, asked)


def branch(where: Place, choice: Choice) -> Inquiry:
    """The answer again with other tokens at a place; raises ``InputError`` where none could follow them."""
    exchange = where.exchange
    begun = (*where.before, *choice.ids)
    original = tuple(step.token for step in exchange.answer.steps)
    over = dict(changed(exchange.params))
    if exchange.params.beam == 1:
        over.pop("n", None)
    if len(begun) >= exchange.params.max_new and begun != original[: len(begun)]:
        raise InputError(
            f"nothing can follow @{where.index}: max_new was {exchange.params.max_new}",
            f"/set max_new {len(begun) + 64} and /retry #{exchange.id} makes a longer answer to branch",
        )
    return replace(
        like(exchange),
        prefix="",
        prefix_ids=begun if begun != original else begun[:-1],
        params=over,
        pin=exchange.pin,
        origin=Origin(exchange.id, where.index, "branch"),
        shown=True,
    )


async def _handoff(session: "Session", ui: FrontEnd, argument: str) -> None:
    name, _, rest = argument.partition(" ")
    if not name:
        raise InputError("to which model?", HANDOFF)
    model = one_model(session, name)
    where, extra = await place(session, rest.strip(), HANDOFF)
    if extra:
        raise InputError(f"'{extra}' is too much", HANDOFF)
    asked, how = handoff(session, model, where)
    say(ui, f"{model} goes on at @{where.index} of {where.exchange.model}'s #{where.exchange.id}", how)
    await inquire(session, [asked])


def handoff(session: "Session", model: str, where: Place) -> tuple[Inquiry, str]:
    """What lets ``model`` go on from a place in another's answer, and how the beginning reaches it.

    Models of one vocabulary pass on tokens, others the text that these write.
    """
    exchange = where.exchange
    theirs = exchange.identity.vocab_fingerprint
    capabilities = session.capabilities(model)
    shared = bool(theirs) and capabilities is not None and capabilities.vocab_fingerprint == theirs
    text = "".join(step.text for step in exchange.answer.steps[: where.index])
    if not shared and where.index and not text:
        raise InputError(f"#{exchange.id} has no text before @{where.index} yet", "choose a later token")
    over: dict[str, Value] = dict(changed(exchange.params))
    if exchange.params.beam == 1:
        over.pop("n", None)
    asked = replace(
        like(exchange),
        model=model,
        prefix="" if shared else text,
        prefix_ids=where.before if shared else (),
        params=over,
        origin=Origin(exchange.id, where.index, "handoff"),
        shown=True,
    )
    return asked, "as tokens: they share a vocabulary" if shared else "as text: their vocabularies differ"


async def _tree(session: "Session", ui: FrontEnd, argument: str) -> None:
    only = await recall(session, argument) if argument else None
    exchanges = [x for x in session.exchanges if x.shown]
    if only is not None:
        exchanges = _family(exchanges, only)
    if not exchanges:
        raise InputError("nothing has been asked yet", "type a prompt")
    ui.show(Tree(nodes=tuple(map(node, exchanges))))


def _family(exchanges: "Sequence[Exchange]", member: "Exchange") -> "list[Exchange]":
    """Those that come from the same root as ``member``."""
    up: dict[int, int | None] = {x.id: _above(x) for x in (*exchanges, member)}

    def root(number: int) -> int:
        while (above := up.get(number)) is not None and above in up:
            number = above
        return number

    found = [x for x in exchanges if root(x.id) == root(member.id)]
    return found if any(x.id == member.id for x in found) else [*found, member]


def _above(exchange: "Exchange") -> int | None:
    if exchange.origin is not None:
        return exchange.origin.exchange
    return exchange.parent.id if exchange.parent is not None else None


def node(exchange: "Exchange") -> Node:
    """An exchange as the tree draws it."""
    origin, steps = exchange.origin, exchange.answer.steps
    at = origin.position if origin is not None else 0
    inside = origin is not None and origin.how in ("branch", "handoff")
    how = origin.how if origin is not None else "turn" if exchange.parent is not None else ""
    if exchange.request.task != "generate":
        how = exchange.request.task
    return Node(
        id=exchange.id,
        model=exchange.model,
        prompt=exchange.prompt,
        text="".join(step.text for step in steps[at:]) if inside else exchange.answer.text,
        parent=_above(exchange),
        how=how,
        position=at if inside else None,
        pieces=tuple(step.piece for step in steps),
        edge=b"".join(step.piece for step in steps[at:] if step.forced) if inside else b"",
        state=exchange.state,
    )


def _handoff_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    return place_offers(session, before[1:], begun) if before else model_offers(session, before, begun)


COMMANDS = (
    Command(
        name="branch",
        usage="[#id] @i TOKEN ...",
        help="write an answer again with another token at a place, and see where it leads",
        details=(
            "@0 is the first token. TOKEN is ~2 for the second likeliest there, #464 for a token's number, "
            'or text; several of ~2 ~3 #464 "quoted text" are several branches at once. Prompt, settings and '
            "seed stay as they were, so that a branch on the token that stands there is the same answer. "
            "/branch #18 @5 ~2 ~3 makes two."
        ),
        handler=_branch,
        offers=place_offers,
        slow=True,
    ),
    Command(
        name="handoff",
        usage="MODEL [#id] @i",
        help="let another model go on from token i of an answer",
        details=(
            "/handoff lm-early #18 @5 keeps the tokens before @5 and has lm-early write the rest, with the "
            "settings and the seed of #18. Between vocabularies the beginning goes as text."
        ),
        handler=_handoff,
        offers=_handoff_offers,
        slow=True,
    ),
    Command(
        name="tree",
        usage="[#id]",
        help="draw the conversations and the branches as a tree",
        details="Each edge shows the token that differs. /tree #18 draws only what #18 belongs to.",
        handler=_tree,
        offers=number_offers,
    ),
)
