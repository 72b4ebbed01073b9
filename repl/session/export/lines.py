"""What the formats for reading share: exchanges by line, and the facts beside an answer."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from repl.params import changed
from repl.probe.figure import plural
from repl.session.decoding import show
from repl.session.exchange import Exchange
from repl.session.words import seconds


def by_line(exchanges: Sequence[Exchange]) -> Iterable[list[Exchange]]:
    """The exchanges in order, those of one typed line together."""
    ordered = sorted(exchanges, key=lambda x: (x.line, x.id))
    return (list(group) for _, group in groupby(ordered, key=lambda x: x.line))


def facts(x: Exchange) -> list[str]:
    """Settings, seed, size and speed, each in a few words."""
    settings = [f"{name} {show(value)}" for name, value in changed(x.params).items() if name != "seed"]
    found = [", ".join(settings) or "default settings"]
    if x.seed is not None:
        found.append(f"seed {x.seed}")
    found.append(plural(len(x.answer.steps), "token"))
    if x.tokens_per_second is not None:
        found.append(f"{x.tokens_per_second:.0f} tokens/s")
    if x.first_token_seconds is not None:
        found.append(f"first after {seconds(x.first_token_seconds)}")
    if x.replica is not None:
        found.append(f"on {x.replica}")
    found.append(f"{x.state}: {x.finish}" if x.finish else x.state)
    return found


def warnings(x: Exchange) -> list[str]:
    """Notes and the error, for the reader to see beside the answer."""
    found = list(x.notes)
    started = x.answer.started
    if started is not None and started.truncated:
        found.append(f"{plural(started.truncated, 'token')} of the prompt cut off")
    if x.error is not None:
        found.append(f"{x.error.message}. {x.error.hint}".rstrip(" ."))
    return found
