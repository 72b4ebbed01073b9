"""Prompts out of a file: plain text, one a line, or JSON Lines when its name ends in ``.jsonl``.

An object has a ``prompt`` and may have ``params`` for that line alone, which count above ``--set``. Its other
keys, an id or a reference say, are carried to the output under ``input``.
"""

from collections.abc import AsyncIterable, AsyncIterator

import msgspec

from repl.messages import Error
from repl.params import ParamError, Value, check, parameter
from repl.spelling import nearest
from repl.streams import Line


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the input."""

    index: int
    """From 0."""
    prompt: str
    params: dict[str, Value] = {}
    """Checked."""
    carried: dict[str, object] = {}
    """Keys of the object that mean nothing to us."""
    prefix: str = ""
    """What the answer is to begin with."""
    target: str = ""
    """The text to score, where that is what the run is for."""
    error: Error | None = None
    """Why it cannot be asked."""
    raw: Line
    """What was read."""

    @property
    def number(self) -> int:
        """As editors count lines, from 1."""
        return self.raw.number


async def items(lines: AsyncIterable[Line], *, jsonl: bool) -> AsyncIterator[Item]:
    """One item for each line, those that are wrong included."""
    async for line in lines:
        yield item(line, jsonl=jsonl)


def item(line: Line, *, jsonl: bool) -> Item:
    """What one line asks."""
    fault = line.fault
    if fault:
        kind = "prompt_too_long" if line.length > len(line.data) else "bad_line"
        return _bad(
            line, kind, fault, "convert the file to UTF-8" if kind == "bad_line" else "split the line"
        )
    if not line.text.strip():
        return _bad(line, "empty_prompt", "the line is empty", "remove it")
    if not jsonl:
        return Item(index=line.number - 1, prompt=line.text, raw=line)
    try:
        return _from_object(line, msgspec.json.decode(line.data))
    except (msgspec.DecodeError, RecursionError) as error:
        return _bad(line, "bad_line", f"not JSON: {error}", 'write {"prompt": "..."} on each line')
    except ParamError as error:
        return _bad(line, "bad_parameter", str(error), "correct `params`")


def _from_object(line: Line, value: object) -> Item:
    if not isinstance(value, dict) or not isinstance(value.get("prompt"), str):
        return _bad(line, "bad_line", "not an object with a text as `prompt`", 'write {"prompt": "..."}')
    carried = {key: held for key, held in value.items() if key not in ("prompt", "params")}
    for key in carried:
        if near := nearest(key, ("prompt", "params")):
            return _bad(line, "bad_line", f"unknown key '{key}'", f"did you mean '{near}'?")
    given = value.get("params", {})
    if not isinstance(given, dict):
        return _bad(line, "bad_line", "`params` is not an object", 'write {"params": {"max_new": 20}}')
    params = {parameter(name).name: check(name, setting) for name, setting in given.items()}
    return Item(index=line.number - 1, prompt=value["prompt"], params=params, carried=carried, raw=line)


def _bad(line: Line, kind: str, message: str, hint: str) -> Item:
    error = Error(kind=kind, message=message, hint=hint)
    return Item(index=line.number - 1, prompt=line.text, error=error, raw=line)
