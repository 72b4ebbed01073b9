"""A token of an answer, with what is known of it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Token:
    """See ``repl.messages.Step`` for the figures; None where they are not known."""

    id: int
    search_lp: float | None = None
    raw_lp: float | None = None
    proc_lp: float | None = None
    rank: int | None = None
    entropy: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    """Alternatives with their ``raw_lp``, best first."""
    forced: bool = False
    distribution: bytes = b""
