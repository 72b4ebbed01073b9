"""Not a terminal: lines in, answers out in the order of the lines, and everything else on standard error.

Every line is a prompt of its own, with no memory of the others, and so many are on their way at once that all
replicas are busy. A line that begins with ``/`` is a command; it is obeyed once everything before it has been
answered. With one model the output is the bare answers; with several each line of an answer begins with the
model's name and a tab.
"""

import asyncio
import os

from repl import exits, signals
from repl.config import Config
from repl.line.inorder import InOrder
from repl.line.outlet import Outlet
from repl.line.pipe_views import JsonView, PipeFrontEnd, TextView, say
from repl.messages import Event
from repl.opening import open_session
from repl.options import Options
from repl.session import commands
from repl.session.errors import InputError
from repl.session.exchange import Exchange
from repl.session.frontend import Notice
from repl.session.routing import is_command
from repl.session.session import Session
from repl.streams import Feed, Line

STDIN, STDOUT = 0, 1
WINDOW = 256
"""Answers on their way at once."""
KEPT = 1024
"""Exchanges that commands can still refer to; a pipe may run for ever."""


def pipe(config: Config, options: Options) -> int:
    """Answer standard input on standard output; returns the exit code."""
    return signals.run(_run(config, options))


async def _run(config: Config, options: Options) -> int:
    async with open_session(config, options) as session:
        return await Pipe(session, json=options.json).run()


class Pipe:
    """Reads, asks, and is told (as a ``Listener``) what came of it."""

    def __init__(self, session: Session, *, json: bool) -> None:
        self._session = session
        self._outlet = Outlet(STDOUT)
        terminal = os.isatty(STDOUT)
        self._view = JsonView(self._outlet) if json else TextView(self._outlet, terminal=terminal)
        self._ui = PipeFrontEnd(self._view)
        self._order = InOrder(self._view, strict=True)
        self._moved = asyncio.Event()
        self._window = min(WINDOW, session.config.queue_limit)
        self._reader_gone = False

    async def run(self) -> int:
        """Until the input ends, or nobody reads the output any more; returns the exit code."""
        self._session.listen(self)
        if os.isatty(STDIN):
            say("each line you type is a prompt; Ctrl+D ends them")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outlet.run())
                await self._read()
                self._outlet.close()
        except* BrokenPipeError:
            self._reader_gone = True
        if self._reader_gone:
            return exits.READER_GONE
        if not self._view.failed:
            return exits.OK
        asked = [s for s in self._session.status() if s.model in self._view.models]
        hopeless = asked and not self._view.answered and all(s.state == "failed" for s in asked)
        return exits.NO_MODEL if hopeless else exits.SOME_FAILED

    async def _read(self) -> None:
        async for line in Feed(STDIN):
            await self._until(self._window - 1)
            await self._outlet.room()
            await self._obey(line)
            if self._ui.left:
                break
        await self._until(0)

    async def _until(self, running: int) -> None:
        """Wait until at most so many answers are on their way."""
        while len(self._order) > running:
            self._moved.clear()
            await self._moved.wait()

    async def _obey(self, line: Line) -> None:
        try:
            if line.fault:
                raise InputError(line.fault, "the line was left out")
            if is_command(line.text):
                await self._until(0)
                self._view.line = line.number
                await commands.run(self._session, self._ui, line.text)
            else:
                self._view.line = line.number
                self._ask(line.text)
        except InputError as error:
            self._view.line = line.number
            self._ui.show(Notice("error", f"line {line.number}: {error.message}", error.hint))

    def _ask(self, text: str) -> None:
        session = self._session
        if not text.strip():
            self._ui.show(Notice("warning", f"line {self._view.line} is empty and was left out"))
            return
        for model in session.models:
            session.conversations.reset(model)
        session.ask(text)
        del session.exchanges[:-KEPT]

    # -- Listener ------------------------------------------------------------------------------------------

    def started(self, exchange: Exchange) -> None:
        """Take a place in the order."""
        self._view.asked(exchange, several=len(self._session.comparison) > 1)
        self._order.started(exchange)

    def event(self, exchange: Exchange, event: Event) -> None:
        """Show it when its turn comes."""
        self._order.event(exchange, event)

    def ended(self, exchange: Exchange) -> None:
        """Another may follow."""
        self._order.ended(exchange)
        self._moved.set()

    def notice(self, notice: Notice) -> None:
        """Something about the record, say."""
        self._view.notice(notice)
