"""Reads who a typed line is for.

``@name text`` goes to one model, ``@a,b text`` to two, ``@name/0 text`` to one replica and ``@gpu1
text``, ``@cuda:1 text`` or ``@cpu:0 text`` to a device. The start of a name will do where it fits one
name only. A line that begins with a doubled ``//`` or ``@@`` begins with the single character, and one
that begins with a space is sent as it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from repl.pool.plan import answers_to
from repl.session.errors import InputError
from repl.spelling import nearest

LONGEST_LINE = 1 << 20
"""Bytes of UTF-8."""

_ADDRESS = re.compile(r"@(\S+)(?:\s(.*))?\Z", re.DOTALL)
_DEVICE = re.compile(r"(?:gpu:?|cuda:)(\d+)|((?:cpu|net):\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Replica:
    """What an address can name: a replica, its model and its device."""

    name: str
    model: str
    device: str


@dataclass(frozen=True)
class Route:
    """A prompt and where it goes."""

    prompt: str
    targets: Mapping[str, str | None]
    """Model to pin: a replica, a device, or None for any replica."""


def check(line: str) -> None:
    """Refuse a line no model should get: empty, huge or not text."""
    if not line.strip():
        raise InputError("the line is empty", "type a prompt, or /help")
    try:
        size = len(line.encode())
    except UnicodeEncodeError as error:
        byte = ord(line[error.start])
        what = f"byte 0x{byte - 0xDC00:02x}" if 0xDC80 <= byte <= 0xDCFF else f"code point U+{byte:04X}"
        raise InputError(
            f"the line is not valid UTF-8: {what} at character {error.start + 1}",
            "convert the text to UTF-8, or leave that character out",
        ) from None
    if size > LONGEST_LINE:
        raise InputError(
            f"the line is {size:,} bytes long; the most is {LONGEST_LINE:,} bytes",
            "split it, or give a file of prompts to `multigpu-repl run`",
        )


def is_command(line: str) -> bool:
    """Whether a typed line is a command rather than a prompt."""
    return line.startswith("/") and not line.startswith("//")


def route(
    line: str, *, comparison: Sequence[str], models: Sequence[str], replicas: Sequence[Replica]
) -> Route:
    """Who ``line`` is for, and what of it is the prompt; raises ``InputError``."""
    check(line)
    if line.startswith(("//", "@@")):
        return Route(line[1:], dict.fromkeys(comparison))
    match = _ADDRESS.match(line)
    if match is None:
        return Route(line, dict.fromkeys(comparison))
    targets: dict[str, str | None] = {}
    for name in match[1].split(","):
        targets.update(resolve(name, comparison=comparison, models=models, replicas=replicas))
    prompt = match[2] or ""
    if not prompt.strip():
        raise InputError(f"there is no text after @{match[1]}", f"/use {match[1]} talks to it from now on")
    return Route(prompt, targets)


def resolve(
    name: str, *, comparison: Sequence[str], models: Sequence[str], replicas: Sequence[Replica]
) -> dict[str, str | None]:
    """The models an address names, with the replica or device to stay on; raises ``InputError``.

    A device stands for the chosen models that have a replica on it or, if none has, for all that do.
    """
    if name in models:
        return {name: None}
    for replica in replicas:
        if replica.name == name:
            return {replica.model: name}
    if where := device(name):
        there = dict.fromkeys((r.model for r in replicas if answers_to(r.name, r.device, where)), where)
        chosen = {model: where for model in comparison if model in there}
        if not there:
            devices = ", ".join(dict.fromkeys(replica.device for replica in replicas)) or "none"
            raise InputError(f"no replica is on {where}", f"there are replicas on {devices}")
        return dict(chosen or there)
    begun = [model for model in models if name and model.startswith(name)]
    if len(begun) == 1:
        return {begun[0]: None}
    raise _unknown(name, begun, models, replicas)


def device(name: str) -> str | None:
    """``cuda:1`` for ``gpu1``, ``GPU:1`` or itself, ``cpu:0`` for itself; None for what names no device."""
    match = _DEVICE.fullmatch(name)
    return None if match is None else (match[2] or "").lower() or f"cuda:{int(match[1])}"


def short(device: str) -> str:
    """A device as it is quickly typed: ``gpu1`` for ``cuda:1``; see ``device`` for the way back."""
    return device.replace("cuda:", "gpu")


def addresses(models: Sequence[str], replicas: Sequence[Replica]) -> dict[str, str]:
    """Everything that can follow ``@``, with what it is."""
    devices = dict.fromkeys(device for replica in replicas for device in replica.device.split("+"))
    return (
        dict.fromkeys(models, "model")
        | {short(device): "device" for device in devices}
        | {replica.name: f"replica on {replica.device}" for replica in replicas}
    )


def _unknown(
    name: str, begun: Sequence[str], models: Sequence[str], replicas: Sequence[Replica]
) -> InputError:
    text = f"write @@{name} to send it as text"
    if begun:
        return InputError(f"@{name} may be {' or '.join(begun)}", f"type more of the name; {text}")
    known = addresses(models, replicas)
    near = nearest(name, known)
    guess = f"did you mean @{near}?" if near else f"known are {', '.join('@' + n for n in models)}"
    return InputError(f"nothing is called @{name}", f"{guess} ({text})")
