"""The session beside the app: opened after the first frame, given what is typed, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repl.session.session import Session
    from repl.tui.frontend import TuiFrontEnd

    OpenSession = Callable[[], AbstractAsyncContextManager[Session]]


class Service:
    """Owns the session. Lines submitted before it is open wait for it."""

    def __init__(
        self, open_session: OpenSession, front_end: TuiFrontEnd, opened: Callable[[Session], Awaitable[None]]
    ) -> None:
        """``opened`` is awaited once, before the first line is carried out."""
        self.session: Session | None = None
        self._open_session = open_session
        self.front_end = front_end
        self._opened = opened
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Open the session; ``failed`` is told if it cannot be opened or breaks down."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(ended)

    def submit(self, line: str) -> None:
        """Carry out ``line`` after those before it."""
        self._lines.put_nowait(line)

    async def close(self) -> None:
        """End the session; what runs is stopped and recorded. Raises what broke it down."""
        self._leaving.set()
        if self._task is not None:
            await self._task

    async def _serve(self) -> None:
        async with self._open_session() as session:
            self.session = session
            await self._opened(session)
            worker = asyncio.create_task(self._run_lines(session))
            await self._leaving.wait()
            worker.cancel()

    async def _run_lines(self, session: Session) -> None:
        from repl.session.frontend import Notice

        while True:
            line = await self._lines.get()
            try:
                await session.run(line, self.front_end)
            except Exception as error:  # a fault in one command must not end the sitting
                words = f"{type(error).__name__}: {error}"
                hint = "this is a fault of the program; the session goes on"
                self.front_end.show(Notice("error", words, hint))
            self.front_end.end_line()
