"""Where in which answer: ``[#id] @i ...`` as commands take it, and what could stand there."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repl.messages import Step
from repl.params import Value
from repl.probe.figure import piece_text
from repl.readings import Tokenized
from repl.session.commands.base import chosen_or_last, recall
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice
from repl.session.inquiry import Inquiry, check_repeatable, inquire, like, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

ALTERNATIVES = 5
"""Asked for where an answer brought none."""
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_RANKED = re.compile(r"~(\d{1,4})")
NUMBERED = re.compile(r"#(\d{1,9})")
"""A token by its number in the vocabulary."""
_NUMBER = re.compile(r"#\d+")
_PLACE = re.compile(r"@(\d{1,9})")


@dataclass(frozen=True)
class Place:
    """A token of an answer."""

    exchange: "Exchange"
    index: int

    @property
    def step(self) -> Step:
        """The token that stands there."""
        return self.exchange.answer.steps[self.index]

    @property
    def before(self) -> tuple[int, ...]:
        """The tokens in front of it."""
        return tuple(step.token for step in self.exchange.answer.steps[: self.index])


@dataclass(frozen=True)
class Choice:
    """Tokens to stand at a place, and how they look."""

    ids: tuple[int, ...]
    piece: bytes
    nats: float | None = None
    """Log-probability of the first one there, where it was told."""

    @property
    def words(self) -> str:
        """The pieces to look at, with the probability."""
        chance = "" if self.nats is None else f" ({math.exp(self.nats):.1%})"
        return f"{piece_text(self.piece)}{chance}"


async def answer_named(session: "Session", argument: str) -> "tuple[Exchange, str]":
    """The answer that ``#id`` in front names, else the last one, and the rest; raises ``InputError``."""
    word, _, rest = argument.partition(" ")
    if _NUMBER.fullmatch(word):
        found = await recall(session, word)
    else:
        found, rest = (await chosen_or_last(session, []))[0], argument
    if found.request.task != "generate":
        what = f"#{found.id} is not an answer: {found.model} was to {found.request.task}"
        raise InputError(what, "name an answer; /history lists them")
    check_repeatable(found, session.models)
    return found, rest.strip()


async def place(session: "Session", argument: str, usage: str) -> tuple[Place, str]:
    """``[#id] @i rest`` as a place and the rest; raises ``InputError``."""
    exchange, rest = await answer_named(session, argument)
    word, _, rest = rest.partition(" ")
    match = _PLACE.fullmatch(word)
    if match is None:
        said = f"'{word}' is not a token's place" if word else "at which token?"
        raise InputError(said, f"{usage}; @0 is the first token of the answer")
    return at(exchange, int(match[1])), rest.strip()


def at(exchange: "Exchange", index: int) -> Place:
    """The place, if the answer has it; else ``InputError``."""
    size = len(exchange.answer.steps)
    if index >= size:
        there = f"it has {size:,} tokens: @0 to @{size - 1}" if size else "it has no tokens"
        raise InputError(f"#{exchange.id} has no token @{index}", there)
    return Place(exchange, index)


def words(text: str) -> list[str]:
    """``text`` in words; what stands in quotes is one, quotes included."""
    return _WORD.findall(text)


async def choices(session: "Session", ui: FrontEnd, where: Place, text: str) -> list[Choice]:
    """What ``text`` says should stand at ``where``: several of ``~2``, ``#id`` and ``"text"``, or one text.

    A lone word that is one of the alternatives there is that token, whatever space goes before it. Other
    free text is written as the model writes text; it begins with a space where the token it replaces does.
    """
    found = words(text)
    if not all(_RANKED.fullmatch(w) or NUMBERED.fullmatch(w) or w.startswith('"') for w in found):
        found = [text]
    ranks = [int(match[1]) for word in found if (match := _RANKED.fullmatch(word))]
    named = all(NUMBERED.fullmatch(word) for word in found)
    top = _told(where.step) if named else await alternatives(session, where, max([1, *ranks]))
    return [await _choice(session, ui, where, word, top) for word in found]


async def _choice(session: "Session", ui: FrontEnd, where: Place, word: str, top: list[Choice]) -> Choice:
    if match := _RANKED.fullmatch(word):
        rank = int(match[1])
        if not 1 <= rank <= len(top):
            message = f"there is no alternative {word} at @{where.index}"
            raise InputError(message, f"~1 to ~{len(top)} are the likeliest")
        return top[rank - 1]
    if match := NUMBERED.fullmatch(word):
        token = int(match[1])
        return next((c for c in top if c.ids == (token,)), Choice((token,), f"#{token}".encode()))
    quoted = len(word) > 1 and word.startswith('"') and word.endswith('"')
    text = unquote(word) if quoted else word
    for choice in top:
        if is_piece(choice.piece, text, exactly=quoted):
            return choice
    leading = " " if not quoted and where.step.piece.startswith(b" ") else ""
    return await written(session, ui, where.exchange.model, leading + text)


def unquote(word: str) -> str:
    r"""A quoted word without its quotes; ``\n``, ``\t``, ``\"`` and the like are read as in JSON."""
    try:
        return str(json.loads(word))
    except ValueError:
        return word[1:-1]


def is_piece(piece: bytes, text: str, *, exactly: bool) -> bool:
    """Whether a token is what was typed; where not exactly, but for white space or as it was shown."""
    return piece == text.encode() or (
        not exactly and (piece.strip() == text.encode() or piece_text(piece) == text)
    )


async def written(session: "Session", ui: FrontEnd, model: str, text: str) -> Choice:
    """``text`` in the model's tokens; raises ``InputError`` where it cannot say or there are none."""
    (found,) = succeeded(
        await inquire(session, [Inquiry(model=model, task="tokenize", target=text, lane="fast")])
    )
    reading = found.reading
    if not isinstance(reading, Tokenized) or not reading.ids:
        raise InputError(
            f"{model} has no token for {text!r}", "try another text, or a token's number: #50256"
        )
    if any(reading.unknown):
        ui.show(Notice("warning", f"{model} does not know all of {text!r}: it reads {reading.decoded!r}"))
    return Choice(reading.ids, b"".join(reading.pieces))


async def alternatives(session: "Session", where: Place, count: int) -> list[Choice]:
    """The likeliest tokens at a place, best first: as the answer told, else as the model says now."""
    told = _told(where.step)
    if len(told) >= count:
        return told
    found = await peeked(session, like(where.exchange), where.before, max(count, ALTERNATIVES))
    return _told(found.answer.steps[where.index])


def _told(step: Step) -> list[Choice]:
    return [Choice((token,), piece, lp) for token, lp, piece in step.top]


async def peeked(session: "Session", inquiry: Inquiry, before: Sequence[int], count: int) -> "Exchange":
    """The exchange in which a model wrote ``before``, forced, and one token more; raises ``InputError``."""
    over: dict[str, Value] = {
        **inquiry.params,
        "temperature": 0.0,
        "beam": 1,
        "n": 1,
        "stop": (),
        "min_new": 0,
        "max_new": len(before) + 1,
        "logprobs": count,
    }
    asked = replace(inquiry, prefix_ids=tuple(before), prefix="", params=over, shown=False, sample=0)
    (found,) = succeeded(await inquire(session, [asked]))
    return found


def place_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    """Answers first, then their tokens, then what could stand there."""
    latest = session.exchanges[-50:]
    named = next((x for x in latest if before and before[0] == f"#{x.id}"), None)
    if not before:
        for x in reversed(latest):
            yield f"#{x.id}", f"{x.model}: {x.answer.text[:40]}"
    exchange = named or (latest[-1] if latest else None)
    if exchange is None:
        return
    steps = exchange.answer.steps
    placed = next((int(m[1]) for w in before if (m := _PLACE.fullmatch(w))), None)
    if placed is None:
        for step in steps[:1000]:
            yield f"@{step.index}", piece_text(step.piece)
    elif placed < len(steps):
        for rank, choice in enumerate(_told(steps[placed]), 1):
            yield f"~{rank}", choice.words
