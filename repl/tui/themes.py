"""The two quiet themes of the app; Textual's own are there too."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from repl.session.frontend import Notice

DARK = Theme(
    name="dark",
    primary="#7aa2c8",
    secondary="#8f9db0",
    accent="#d7a65f",
    foreground="#d8dce2",
    background="#14171c",
    surface="#1b1f26",
    panel="#232933",
    success="#7fb685",
    warning="#d7a65f",
    error="#e07a77",
    dark=True,
    variables={"screen-selection-background": "#37506b", "screen-selection-foreground": "#f2f5f8"},
)
LIGHT = Theme(
    name="light",
    primary="#24578a",
    secondary="#5a6675",
    accent="#8a5a00",
    foreground="#22262c",
    background="#fbfaf7",
    surface="#f1efe9",
    panel="#e6e3db",
    success="#2d6e3a",
    warning="#8a5a00",
    error="#b3261e",
    dark=False,
    variables={"screen-selection-background": "#bcd4ec", "screen-selection-foreground": "#10151b"},
)
OWN = (DARK, LIGHT)


def choose(wanted: str | None, known: Collection[str]) -> tuple[str, Notice | None]:
    """The theme to begin with, and what to say where ``wanted`` is not known."""
    if wanted is None or wanted in known:
        return wanted or DARK.name, None
    from repl.session.frontend import Notice
    from repl.spelling import nearest

    near = nearest(wanted, known)
    hint = f"did you mean {near}? " if near else ""
    return DARK.name, Notice("warning", f"there is no theme '{wanted}'", f"{hint}/theme lists them")
