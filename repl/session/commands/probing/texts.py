"""Texts as probing commands take them: typed with or without a context, an earlier answer, or a file."""

import asyncio
import contextlib
import json
import stat
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice
from repl.session.inquiry import AHEAD, Inquiry, succeeded

if TYPE_CHECKING:
    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

ARROW = "=>"
WINDOW = 256
"""Inquiries of a file that are made before the first of them has ended."""
ENTRIES = 1000
"""Files offered."""
LARGEST = 256 << 20
"""Bytes of a file that is read."""

Opening = Literal["auto", "bos", "eos", "none"]


@dataclass(frozen=True)
class Manner:
    """How a text is to be scored."""

    opening: Opening = "auto"
    closing: bool = False


MANNERS = {"opening": ("auto", "bos", "eos", "none"), "closing": ("on", "off")}
"""The options of commands that score, and their values."""


def options(argument: str, known: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], str]:
    """The ``name=value`` words in front and the rest; ``--`` ends them. Raises ``InputError``.

    A name without values takes any.
    """
    found: dict[str, str] = {}
    rest = argument
    while True:
        word, _, after = rest.partition(" ")
        name, equals, value = word.partition("=")
        if word == "--":
            return found, after.lstrip()
        if not equals or name not in known:
            return found, rest
        if known[name] and value not in known[name]:
            raise InputError(f"{name} cannot be '{value}'", f"one of {', '.join(known[name])}")
        found[name] = value
        rest = after.lstrip()


def manner(chosen: Mapping[str, str]) -> Manner:
    """What ``options`` found of ``MANNERS``."""
    return Manner(cast("Opening", chosen.get("opening", "auto")), chosen.get("closing") == "on")


def context_and(text: str) -> tuple[str, str]:
    """``CONTEXT => TEXT`` in two. The text keeps one of the spaces that stand before it."""
    context, arrow, rest = text.partition(ARROW)
    if not arrow:
        return "", text
    body = rest.strip()
    return context.strip(), f" {body}" if rest[:1].isspace() and body else body


def scoring(session: "Session", model: str, context: str, text: str, how: Manner) -> Inquiry:
    """The inquiry that scores ``text`` after ``context``.

    A translation is not the continuation of its source: it begins without the space between them.
    """
    capabilities = session.capabilities(model)
    apart = capabilities is not None and capabilities.kind == "seq2seq"
    target = text.lstrip() if context and apart else text
    return Inquiry(model=model, prompt=context, target=target, opening=how.opening, closing=how.closing)


def scoring_answer(session: "Session", model: str, answer: "Exchange") -> Inquiry:
    """The inquiry in which ``model`` scores an answer after what it answered.

    With the answer's own tokens where the model has the same vocabulary, else with its text, and with the
    end token where the answer had one.
    """
    request = answer.request
    ids = tuple(step.token for step in answer.answer.steps)
    same = bool(ids) and (model == answer.model or shares_vocabulary(session, model, answer))
    if not ids and not answer.answer.text:
        raise InputError(f"#{answer.id} has no text", "name another answer")
    return Inquiry(
        model=model,
        prompt=answer.prompt,
        history=request.history,
        template=request.template,
        target="" if same else answer.answer.text,
        target_ids=ids if same else (),
        closing=not same and answer.finish == "eos",
        params={"truncate": request.params.truncate},
    )


def shares_vocabulary(session: "Session", model: str, answer: "Exchange") -> bool:
    """Whether the answer's tokens are tokens of ``model``, as far as is known."""
    mine = session.capabilities(model)
    theirs = session.capabilities(answer.model)
    known = answer.identity.vocab_fingerprint or (theirs.vocab_fingerprint if theirs is not None else "")
    return mine is not None and bool(known) and mine.vocab_fingerprint == known


def chosen_models(session: "Session") -> list[str]:
    """The models that plain lines go to; raises ``InputError`` if there are none."""
    if not session.comparison:
        raise InputError("no model is chosen", "/use NAME or /compare NAME NAME chooses")
    return session.comparison


def with_model(session: "Session", model: str) -> list[str]:
    """The chosen models, ``model`` before them unless it is among them."""
    return session.comparison if model in session.comparison else [model, *session.comparison]


def those_that_could(ui: FrontEnd, exchanges: "Sequence[Exchange]") -> "list[Exchange]":
    """The exchanges that finished; of the others it is said why. Raises ``InputError`` where none did."""
    done = [x for x in exchanges if x.state == "finished"]
    if not done:
        succeeded(exchanges)
    for x in exchanges:
        if x.error is not None:
            ui.show(Notice("warning", f"{x.model} is left out: {x.error.message}", x.error.hint))
        elif x not in done:
            ui.show(Notice("warning", f"{x.model} is left out: it was stopped"))
    return done


async def in_order(session: "Session", inquiries: Sequence[Inquiry]) -> "AsyncIterator[Exchange]":
    """Ask all, however many there are; each comes, in that order, as soon as it and those before have ended.

    Being cancelled stops those on their way.
    """
    slots = {model: session.slots(model) for model in dict.fromkeys(i.model for i in inquiries)}
    places = {model: asyncio.Semaphore(AHEAD * max(1, count)) for model, count in slots.items()}
    going: deque[asyncio.Task[Exchange]] = deque()
    line: int | None = None

    async def ask(exchange: "Exchange") -> "Exchange":
        async with places[exchange.model]:
            await session.perform(exchange)
        return exchange

    try:
        for done in range(len(inquiries)):
            session.background.report(done, len(inquiries))
            while len(going) < WINDOW and done + len(going) < len(inquiries):
                exchange = session.prepare(inquiries[done + len(going)], line)
                line = exchange.line
                going.append(asyncio.create_task(ask(exchange)))
            yield await going[0]
            going.popleft()
    finally:
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)


def file_offers(begun: str) -> "Iterable[Offer]":
    """``@`` with the folders and files that continue the path begun after it, spelled as it was begun."""
    if not begun.startswith("@"):
        yield "@", "a file with a text on each line"
        return
    folder = begun[1 : begun.rfind("/") + 1]
    with contextlib.suppress(OSError, RuntimeError):
        for entry in islice(sorted(Path(folder or ".").expanduser().iterdir()), ENTRIES):
            yield f"@{folder}{entry.name}{'/' if entry.is_dir() else ''}", ""


@dataclass(frozen=True)
class Line:
    """A line of a file."""

    number: int
    """Counted from 1."""
    text: str


async def read_lines(name: str) -> list[Line]:
    """The lines of a file that are not empty; raises ``InputError``."""

    def read() -> str:
        path = Path(name).expanduser()
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a device may never end
            raise InputError(f"{name} is not a file", "name a file with a text on each line")
        if about.st_size > LARGEST:
            raise InputError(f"{name} is larger than {LARGEST >> 20} MB", "split it")
        return path.read_text("utf-8-sig")

    try:
        text = await asyncio.to_thread(read)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8: byte {error.start}", "convert it") from None
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{name} cannot be read: {reason}", "check the name") from None
    found = [Line(at, line.rstrip("\r")) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise InputError(f"{name} is empty", "it should have a text on each line")
    return found


def json_object(name: str, line: Line) -> dict[str, Any] | None:
    """The object a line of JSON holds; None where it is none, ``InputError`` where it is a broken one."""
    if not line.text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line.text)
    except ValueError as error:
        raise InputError(f"{name} line {line.number} is not JSON: {error}", "mend the line") from None
    return value if isinstance(value, dict) else None
