"""Figures and states in words: short, with a unit, the same everywhere in the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from repl.safe import visible_line

if TYPE_CHECKING:
    from repl.params import Params
    from repl.pool.plan import ReplicaStatus, State
    from repl.session.background import Work


class Sign(NamedTuple):
    """How a state is marked: never by the colour alone."""

    glyph: str
    style: str


SIGNS: Mapping[State, Sign] = {
    "starting": Sign("○", "muted"),
    "loading": Sign("◐", "warning"),
    "ready": Sign("●", "success"),
    "busy": Sign("●", "success"),
    "draining": Sign("◐", "muted"),
    "failed": Sign("✗", "error"),
    "restarting": Sign("◐", "warning"),
    "stopped": Sign("○", "muted"),
}

SHORT = {"temperature": "temp", "max_new": "max", "length_penalty": "lenpen", "repetition_penalty": "rep"}
"""Parameters by the names that fit on a line."""


def join(*parts: str) -> str:
    """The parts that are not empty, with dots between them."""
    return " · ".join(part for part in parts if part)


def foot(*parts: str) -> str:
    """As ``join``, made so that a row breaks after a dot only."""
    return "\u00a0· ".join(part.replace(" ", "\u00a0") for part in parts if part)


def memory(count: int) -> str:
    """Bytes in GB, with one decimal."""
    return f"{count / 1e9:.1f} GB"


def work_words(work: Work) -> str:
    """A command on its way: ``/sweep 12 of 40, 8 s``."""
    return f"{visible_line(work.words)}, {work.seconds:.0f} s"


def state_words(status: ReplicaStatus, *, brief: bool = False) -> str:
    """What a replica is doing, for as long as it serves nobody; empty when it is up.

    ``brief`` leaves the stage of a load out where its progress is known.
    """
    if status.state in ("ready", "busy"):
        return ""
    progress = f"{status.loading:.0%}".replace("%", " %") if status.loading is not None else ""
    stage = visible_line(status.detail) if status.state == "loading" and not (brief and progress) else ""
    return " ".join(part for part in (status.state, stage, progress) if part)


def settings(params: Params) -> str:
    """The settings in force: greedy or how warm, what else differs from the defaults, the limit."""
    from repl.params import changed
    from repl.session.decoding import show

    shown = changed(params)
    shown.pop("temperature", None)
    shown.pop("max_new", None)
    mode = "greedy" if params.beam == 1 else ""
    first = f"temp {show(params.temperature)}" if params.temperature > 0 else mode
    rest = [f"{SHORT.get(name, name)} {visible_line(show(value))}" for name, value in shown.items()]
    return join(first, *rest, f"max {params.max_new}")


def named(models: Sequence[str]) -> str:
    """Up to three models by name, more by their number."""
    if len(models) > 3:
        return f"{len(models)} models"
    *first, last = map(visible_line, models)
    return f"{', '.join(first)} and {last}" if first else last
