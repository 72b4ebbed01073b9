"""Commands about what has been asked and answered before."""

import asyncio
import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from repl.probe.figure import plural
from repl.session import export
from repl.session.commands.base import Command, chosen_or_last, number_offers, recall, say, shorten
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import FrontEnd, Table
from repl.session.record.finding import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session

SHOWN = 50
VOTES = {1: "+", 0: "", -1: "-"}


async def _history(session: "Session", ui: FrontEnd, argument: str) -> None:
    found = {f.id: f for f in await session.store.search(argument, SHOWN)}
    for x in session.exchanges:
        if argument.lower() in x.prompt.lower() or argument.lower() in x.answer.text.lower():
            made = (x.origin.exchange, x.origin.how) if x.origin is not None else (None, "")
            found[x.id] = Found(
                x.id, x.created, x.model, x.prompt, x.answer.text, x.state, x.request.task, *made
            )
    if not found:
        what = (
            f"nothing asked or answered has '{argument}' in it" if argument else "nothing has been asked yet"
        )
        say(ui, what)
        return
    latest = [found[number] for number in sorted(found)[-SHOWN:]]
    rows = tuple(
        (
            f"#{f.id}",
            f"{f.created.astimezone():%Y-%m-%d %H:%M}",
            f"{f.model}, {Origin(f.origin, how=f.how).words}" if f.how else f.model,
            shorten(f.prompt, 40),
            shorten(f.answer, 60)
            if f.state == "finished"
            else f"[{f.state}] {shorten(f.answer, 50)}".rstrip(),
        )
        for f in latest
    )
    title = f"history of '{argument}'" if argument else "history"
    columns = ("#", "asked", "model", "prompt", "answer")
    notes = ("/copy, /edit, /retry and /export take the numbers",)
    ui.show(Table(title, columns, rows, notes))


async def _export(session: "Session", ui: FrontEnd, argument: str) -> None:
    try:
        words = shlex.split(argument)
    except ValueError as error:
        raise InputError(f"the file name cannot be read: {error}", "close the quotes") from None
    if not words:
        raise InputError("which file?", f"the name ends in {', '.join(export.ENDINGS)}; [#id ...] chooses")
    replace = "!" in words[1:]
    numbers = [word for word in words[1:] if word != "!"]
    exchanges = [await recall(session, word) for word in numbers] or [x for x in session.exchanges if x.done]
    if not exchanges:
        raise InputError("there is nothing to export yet", "ask something first")
    figures = [] if numbers else session.figures
    path = Path(words[0])
    written = await asyncio.to_thread(export.write, path, exchanges, figures, replace=replace)
    say(ui, f"{written} has {plural(len(exchanges), 'answer')}")


async def _note(session: "Session", ui: FrontEnd, argument: str) -> None:
    words = argument.split()
    named = words[0] if words and words[0].startswith("#") else ""
    x = (await chosen_or_last(session, [named] if named else []))[0]
    text = argument.removeprefix(named).strip()
    if not text:
        kept = await session.store.notes(x.id)
        rows = tuple((written[:16].replace("T", " "), VOTES[vote], words) for written, vote, words in kept)
        if rows:
            ui.show(Table(f"notes on #{x.id}", ("written, UTC", "", "note"), rows))
        else:
            say(ui, f"no notes on #{x.id} yet", "/note [#id] [+|-] TEXT writes one")
        return
    sign, _, rest = text.partition(" ")
    vote = {"+": 1, "-": -1}.get(sign, 0)
    session.store.annotate(x.id, rest.strip() if vote else text, vote)
    say(ui, f"noted on #{x.id}")


def _export_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield from _file_offers(begun)
    else:
        yield from number_offers(session, before, begun)
        if "!" not in before:
            yield "!", "replace the file if it exists"


def _file_offers(begun: str) -> "Iterable[Offer]":
    """Folders and exportable files that continue a path, spelled as it was begun."""
    folder = begun[: begun.rfind("/") + 1]
    with contextlib.suppress(OSError, RuntimeError):
        for entry in sorted(Path(folder or ".").expanduser().iterdir()):
            if entry.is_dir():
                yield f"{folder}{entry.name}/", "folder"
            elif entry.name.endswith(export.ENDINGS):
                yield folder + entry.name, "file that exists"


COMMANDS = (
    Command(
        name="history",
        usage="[text]",
        help="list what was asked, or search prompts and answers of all sessions",
        handler=_history,
    ),
    Command(
        name="export",
        usage="FILE [#id ...] [!]",
        help="write this session, or the answers named, to a file; ! replaces it",
        details=(
            "The name's ending is the format: .html and .md to read, with the figures shown; .jsonl with "
            "everything, .openai.jsonl as OpenAI's logprobs, .lm-eval.jsonl as that harness's samples, and "
            ".parquet to compute with."
        ),
        handler=_export,
        offers=_export_offers,
    ),
    Command(
        name="note",
        usage="[#id] [+|-] [TEXT]",
        help="write down what you think of an answer, or read what you wrote",
        handler=_note,
        offers=number_offers,
    ),
)
