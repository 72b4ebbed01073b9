"""Prints what is in the record, for people or as JSON."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from repl import exits
from repl.probe.figure import Row
from repl.probe.heatmap import Reading, heated, summary
from repl.probe.tokens import tokens
from repl.records.reader import Sitting
from repl.safe import visible, visible_line
from repl.session.exchange import Exchange
from repl.session.export import jsonl
from repl.session.export.lines import facts, warnings
from repl.session.finding import Found

VOTES = {1: "+", 0: "·", -1: "-"}
_RICH = {
    "strong": "bold",
    "muted": "dim",
    "heading": "bold",
    "warning": "yellow",
    "heat1": "white on #00005f",
    "heat2": "white on #000087",
    "heat3": "white on #5f0087",
    "heat4": "white on #87005f",
    "heat5": "white on #af005f",
    "heat6": "black on #d75f00",
    "heat7": "black on #ffd700",
}
"""The figures' styles as Rich names them; others are plain."""


def listed(found: Sequence[Found], *, as_json: bool) -> int:
    """A line for each."""
    if as_json:
        return _json(found)
    if not found:
        print("nothing fits", file=sys.stderr)
        return exits.OK
    table = _table("#", "asked", "model", "task", "prompt", "answer")
    for one in found:
        state = "" if one.state == "finished" else f"[{one.state}] "
        table.add_row(
            *_cells(f"#{one.id}", f"{one.created.astimezone():%Y-%m-%d %H:%M}", one.model, one.task),
            *_cells(one.prompt, state + one.answer),
        )
    _console().print(table)
    return exits.OK


def sessions(found: Sequence[Sitting], *, as_json: bool) -> int:
    """A line for each session."""
    if as_json:
        return _json(found)
    table = _table("session", "begun", "answers", "models")
    for one in found:
        begun = f"{one.begun.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(*_cells(one.id, begun, f"{one.answers:,}", one.models))
    _console().print(table)
    return exits.OK


def shown(found: Sequence[tuple[Exchange, Sequence[tuple[str, int, str]]]], as_json: bool) -> int:
    """Each exchange whole: prompt, answer, facts, notes and the surprisal of its tokens."""
    if as_json:
        for x, _ in found:
            print(msgspec.json.encode(jsonl.as_object(x)).decode())
        return exits.OK
    console = _console()
    for x, notes in found:
        console.print(
            Text(f"#{x.id} {visible_line(x.model)} · {x.created.astimezone():%Y-%m-%d %H:%M:%S}", "bold")
        )
        console.print(Text(f"> {visible(x.prompt)}"))
        console.print(Text(visible(x.answer.text or x.request.target)))
        for warning in warnings(x):
            console.print(Text(f"≠ {visible(warning)}", "yellow"))
        console.print(Text(visible_line(" · ".join(facts(x))), "dim"))
        for written, vote, text in notes:
            console.print(Text(f"{VOTES[vote]} {written[:16]} {visible_line(text)}", "italic"))
        if any(step.raw_lp is not None for step in x.answer.steps):
            reading = Reading(model=x.model, tokens=tokens(x.answer.steps))
            for row in (*summary(reading, console.width), *heated(reading.tokens, console.width)):
                console.print(_text(row))
        console.print()
    return exits.OK


def _text(row: Row) -> Text:
    return Text.assemble(*((span.text, _RICH.get(span.style, "")) for span in row))


def _json(found: Sequence[Found] | Sequence[Sitting]) -> int:
    for one in found:
        print(msgspec.json.encode(one).decode())
    return exits.OK


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _cells(*texts: str) -> list[Text]:
    return [Text(visible_line(text)) for text in texts]
