"""Turns a call that reports through a callback into an iterator that can be closed.

fairseq's ``generate`` returns when the answer is complete; the engine wants what happens after each step, as
it happens. The call runs in a thread of its own that only ever runs while the caller waits in ``next``, so
that at no time two threads use torch.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Closed(BaseException):
    """Ends a call nobody waits for; not an ``Exception``, so that the call does not catch it."""


class Relay(Generic[T], Iterator[T]):
    """Iterates over what ``call`` passes to its argument. An exception of the call is raised by ``next``."""

    def __init__(self, call: Callable[[Callable[[T], None]], None]) -> None:
        self._call = call
        self._thread = threading.Thread(target=self._run, name="generate", daemon=True)
        # Two locks pass the turn to and fro; each is held except for the moment it is passed.
        self._turn, self._back = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._back.acquire()
        self._sent: list[T] = []
        self._error: BaseException | None = None
        self._closing = False

    def __next__(self) -> T:
        """Let the call run up to its next report."""
        if self._closing:
            raise StopIteration
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        if self._sent:
            return self._sent.pop()
        self._closing = True
        self._thread.join()
        error, self._error = self._error, None
        try:
            raise error or StopIteration
        finally:
            del error  # or it would hold itself, by the frame it was raised from, and all that the call held

    def close(self) -> None:
        """End the call where it stands; returns when its thread is gone."""
        if self._closing:
            return
        self._closing = True
        if self._thread.ident is not None:
            self._turn.release()
            self._thread.join()

    def _run(self) -> None:
        try:
            self._call(self._send)
        except _Closed:
            pass
        except BaseException as error:
            self._error = error
        self._back.release()

    def _send(self, value: T) -> None:
        self._sent.append(value)
        self._back.release()
        self._turn.acquire()
        if self._closing:
            raise _Closed
