"""Prints what is in the record, for people or as JSON."""

import sys
from collections.abc import Sequence
from datetime import datetime

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from repl import exits
from repl.probe.figure import Row
from repl.probe.heatmap import Reading, heated, summary
from repl.probe.table import GAP, cut, table
from repl.probe.tokens import tokens
from repl.records.reader import Sitting
from repl.safe import visible, visible_line
from repl.session.exchange import Exchange
from repl.session.export import jsonl
from repl.session.export.lines import facts, warnings
from repl.session.record.finding import Found

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
LEAST = 20
"""Cells of a prompt and of an answer in a list, however narrow the terminal."""
WIDE = 200
"""Cells of a line of a list where there is no terminal."""


def listed(found: Sequence[Found], *, as_json: bool) -> int:
    """A line for each, prompt and answer cut so that it fits."""
    if as_json:
        return _json(found)
    if not found:
        print("nothing fits", file=sys.stderr)
        return exits.OK
    plain = all(one.task == "generate" for one in found)
    heading = ["#", "asked", "model", *([] if plain else ["task"])]
    known = [
        [f"#{one.id}", _minute(one.created), visible_line(one.model), *([] if plain else [one.task])]
        for one in found
    ]
    texts = [
        (one.prompt, ("" if one.state == "finished" else f"[{one.state}] ") + one.answer) for one in found
    ]
    safe = [[visible_line(text) for text in row] for row in texts]
    room = _room(heading, known)
    asked = min(max(cell_len(prompt) for prompt, _ in safe), max(LEAST, room // 2))
    cuts = [[cut(prompt, asked), cut(answer, max(LEAST, room - asked))] for prompt, answer in safe]
    return _table(
        [*heading, "prompt", "answer"], [[*k, *texts] for k, texts in zip(known, cuts, strict=True)]
    )


def _room(heading: Sequence[str], known: Sequence[Sequence[str]]) -> int:
    """Cells of a line that are left for two columns more."""
    console = _console()
    widths = [max(map(cell_len, column)) for column in zip(heading, *known, strict=True)]
    return (console.width if console.is_terminal else WIDE) - sum(widths) - len(GAP) * (len(widths) + 1)


def sessions(found: Sequence[Sitting], *, as_json: bool) -> int:
    """A line for each session."""
    if as_json:
        return _json(found)
    rows = [(one.id, _minute(one.begun), f"{one.answers:,}", one.models) for one in found]
    return _table(("session", "begun", "answers", "models"), rows)


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


def _minute(when: datetime) -> str:
    """In the time of this machine."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def _text(row: Row) -> Text:
    return Text.assemble(*((span.text, _RICH.get(span.style, "")) for span in row))


def _json(found: Sequence[Found] | Sequence[Sitting]) -> int:
    for one in found:
        print(msgspec.json.encode(one).decode())
    return exits.OK


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    console = _console()
    for row in table(heading, [[visible_line(text) for text in row] for row in rows]):
        line = _text(row)
        line.rstrip()
        console.print(line, soft_wrap=True)
    return exits.OK
