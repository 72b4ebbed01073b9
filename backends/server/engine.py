"""The engine: each request is a task on an event loop in a thread; ``step`` hands on its events."""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, TypeVar

from backends.base import BackendError
from backends.faults import while_generating
from backends.server.answer import answer
from backends.server.looking import score, tokenize
from backends.server.served import Served
from repl.messages import Capabilities, Event, Failed, Finished, Request

Result = TypeVar("Result")

_PATIENCE = 0.01
"""Seconds that a step waits for news: so late a new request or a stop is noticed beside others."""
_HELD = 10_000
"""Events that nobody has taken yet; beyond that the server's streams are read slowly."""


class Loop:
    """An event loop in a thread that ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """``work``, which goes on by itself; cancelling what is returned cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def end(self) -> None:
        """Let the thread go."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ServerEngine:
    """A ``backends.base.BatchingEngine`` over one model on a server."""

    def __init__(self, served: Served, loop: Loop, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._served, self._loop = served, loop
        self._told: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._running: dict[int, Future[None]] = {}

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._running[request.id] = self._loop.begin(self._answer(request))

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``: the connection is closed, by which servers notice."""
        work = self._running.pop(request_id, None)
        if work is not None:
            work.cancel()

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``: what has come since the last one."""
        events = []
        try:
            events.append(self._told.get(timeout=_PATIENCE))
            while True:
                events.append(self._told.get_nowait())
        except queue.Empty:
            pass
        wanted = [event for event in events if event.id in self._running]
        for event in wanted:
            if isinstance(event, Finished | Failed):
                del self._running[event.id]
        return wanted

    def close(self) -> None:
        """Drop all requests and let go of the connections; a process that ends need not."""
        for request_id in list(self._running):
            self.cancel(request_id)
        self._loop.begin(self._served.client.close()).result()
        self._loop.end()

    async def _answer(self, request: Request) -> None:
        try:
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    self._told.put(event)
                    if self._told.qsize() > _HELD:
                        await asyncio.sleep(_PATIENCE)
        except Exception as error:
            told = while_generating(error, "the client of the server", request.params.n, 0)
            self._told.put(Failed(id=request.id, error=told.error))

    def _events(self, request: Request) -> AsyncGenerator[Event]:
        if request.task not in self.capabilities.tasks:
            raise BackendError(
                "unsupported",
                f"model '{request.model}': {self._served.kind.words} cannot {request.task} by its API",
                "docs/servers.md tells which servers can",
            )
        if request.task == "generate":
            return answer(self._served, request)
        return (tokenize if request.task == "tokenize" else score)(self._served, request)
