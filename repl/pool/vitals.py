"""Signs of life of a replica process, and what is said of one that died."""

import re
import signal
import time

import msgspec

from backends.faults import BROKEN
from repl.messages import Error
from repl.pool.plan import Limits
from repl.pool.wire import Heartbeat


class Vitals:
    """When a process was last heard of, whether its engine moves, how fast it is."""

    def __init__(self, tokens: int = 0) -> None:
        now = time.monotonic()
        self.heard = now
        """Last frame, in seconds of ``time.monotonic``."""
        self.memory = 0
        """Bytes, as of the last heartbeat."""
        self.rate = 0.0
        """Tokens a second between the last two ticks."""
        self._moved = now
        self._engine_steps = -1
        self._counted = (now, tokens)

    def beat(self, beat: Heartbeat) -> None:
        """The process says that it lives."""
        self.memory = beat.memory
        if beat.steps != self._engine_steps:
            self._engine_steps = beat.steps
            self._moved = self.heard

    def work_begins(self) -> None:
        """An idle engine got a request: from now on it should move."""
        self._moved = time.monotonic()

    def tick(self, now: float, tokens: int) -> None:
        """Take the token rate since the last tick; ``tokens`` are all that came so far."""
        then, before = self._counted
        if now > then:
            self.rate = (tokens - before) / (now - then)
        self._counted = (now, tokens)

    def complaint(self, now: float, limits: Limits, working: bool) -> str | None:
        """What is wrong with a loaded process, if anything is."""
        if (silent := now - self.heard) > limits.silence:
            return f"gave no sign of life for {silent:.0f} s"
        if working and (stuck := now - self._moved) > limits.no_progress:
            return f"made no progress for {stuck:.0f} s"
        return None


def obituary(name: str, code: int | None, reason: str, last_words: list[str]) -> Error:
    """Why a process ended: its exit status (negative: a signal), and the last it wrote."""
    if code is None:
        how = reason
    elif code == BROKEN and last_words:
        how = f"gave up: {last_words[-1]}"
    elif code < 0:
        ended_by = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        how = f"was ended by {ended_by}"
        if ended_by == "SIGKILL":
            how += " (by hand, or by the system when memory ran out)"
    else:
        how = f"ended with status {code} ({reason})"
    return Error(
        kind="crashed",
        message=f"replica {name} {how}",
        hint="/retry asks again; /replicas shows its state",
        detail="\n".join(last_words[-12:]),
    )


def seen_from_outside(error: Error, device: str) -> Error:
    """With the number that the user knows a GPU by: to its process every one is the first."""
    if not device.startswith("cuda") or "+" in device:
        return error
    message, hint = (re.sub(r"\bcuda:0\b", device, text) for text in (error.message, error.hint))
    return msgspec.structs.replace(error, message=message, hint=hint)
