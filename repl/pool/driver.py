"""Drives an engine of either kind by one loop: admit, cancel, step.

Guarantees to the coordinator, whatever the engine does: each admitted request gets exactly one terminal
event, and nothing after it.
"""

import traceback
from collections.abc import Iterator, Sequence

from backends.base import BackendError, BatchingEngine, Engine, StreamingEngine
from repl.messages import Capabilities, Error, Event, Failed, Finished, Lost, Request, Stopped

TERMINAL = (Finished, Stopped, Failed, Lost)


def describe(error: BaseException) -> Error:
    """Any exception of an engine in the words of the wire."""
    if isinstance(error, BackendError):
        return error.error
    # torch's own class is known by name only, since torch is not imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        first_line = (str(error).splitlines() or ["no detail"])[0]
        return Error(
            kind="out_of_memory",
            message=f"the device ran out of memory: {first_line}",
            hint="lower max_new, beam, slots or the prompt's length, or use a smaller dtype",
        )
    return Error(
        kind="internal",
        message=f"{type(error).__name__}: {error}",
        hint="/retry; if it comes again, the detail below is what a bug report needs",
        detail="".join(traceback.format_exception(error)[-6:]),
    )


class _OneByOne:
    """A ``StreamingEngine`` behind the batching interface, one request after another."""

    def __init__(self, engine: StreamingEngine) -> None:
        self.capabilities = engine.capabilities
        self._engine = engine
        self._waiting: list[Request] = []
        self._current: tuple[int, Iterator[Event]] | None = None

    def admit(self, request: Request) -> None:
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        self._waiting = [r for r in self._waiting if r.id != request_id]
        if self._current and self._current[0] == request_id:
            self._close()

    def step(self) -> Sequence[Event]:
        if self._current is None:
            if not self._waiting:
                return ()
            request = self._waiting.pop(0)
            self._current = (request.id, self._engine.generate(request))
        request_id, events = self._current
        try:
            event = next(events)
        except StopIteration:
            self._current = None
            fault = Error(kind="internal", message="the engine stopped without ending the answer")
            return (Failed(id=request_id, error=fault),)
        except Exception as error:
            self._current = None
            return (Failed(id=request_id, error=describe(error)),)
        if isinstance(event, TERMINAL):
            self._close()
        return (event,)

    def _close(self) -> None:
        assert self._current is not None
        events, self._current = self._current[1], None
        close = getattr(events, "close", None)
        if close is not None:
            close()


class Driver:
    """One engine, and the requests it has."""

    def __init__(self, engine: Engine) -> None:
        self._engine: BatchingEngine = engine if isinstance(engine, BatchingEngine) else _OneByOne(engine)
        self._running: set[int] = set()
        self.steps = 0
        """Engine steps so far; read by the heartbeat."""

    @property
    def capabilities(self) -> Capabilities:
        """The engine's, as they are now."""
        return self._engine.capabilities

    @property
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""
        return bool(self._running)

    def admit(self, request: Request) -> list[Event]:
        """Take a request; returns what happened at once."""
        self._running.add(request.id)
        try:
            self._engine.admit(request)
        except Exception as error:
            return self._fail([request.id], error)
        return []

    def cancel(self, request_id: int) -> list[Event]:
        """Drop a request; a finished or unknown one is left alone."""
        if request_id not in self._running:
            return []
        self._running.discard(request_id)
        self._engine.cancel(request_id)
        return [Stopped(id=request_id)]

    def step(self) -> list[Event]:
        """One iteration of the engine. An engine that raises loses all it was running, and goes on."""
        try:
            produced = self._engine.step()
        except Exception as error:
            return self._fail(list(self._running), error)
        finally:
            self.steps += 1
        events = []
        for event in produced:
            if event.id in self._running:
                events.append(event)
                if isinstance(event, TERMINAL):
                    self._running.discard(event.id)
        return events

    def _fail(self, ids: list[int], error: Exception) -> list[Event]:
        described = describe(error)
        for request_id in ids:
            self._running.discard(request_id)
            self._engine.cancel(request_id)
        return [Failed(id=request_id, error=described) for request_id in ids]
