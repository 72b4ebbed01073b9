"""Line mode: a prompt at the bottom, answers above it, and the terminal's own scrolling for all that was."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from prompt_toolkit.patch_stdout import patch_stdout

from repl import __version__, exits, signals
from repl.config import Config
from repl.line.answers import Answers
from repl.line.frontend import LineFrontEnd
from repl.line.inorder import InOrder
from repl.line.prompt import PROMPT, Prompt
from repl.line.screen import LiveScreen, PlainScreen, Screen
from repl.line.words import Style
from repl.messages import Event
from repl.opening import open_session
from repl.options import Options
from repl.probe.figure import Row
from repl.probe.heatmap import heated
from repl.probe.tokens import tokens
from repl.session.exchange import Exchange
from repl.session.frontend import Notice
from repl.session.session import Session

RESUMED = 5
"""Earlier answers shown when a session is taken up again."""


def run(config: Config, options: Options) -> int:
    """Stay until the user leaves; returns the exit code. Ctrl-C stops answers and never leaves."""
    # libuv's event loop would leave the terminal that it reads in non-blocking mode, to the shell too.
    ending = (signal.SIGTERM, signal.SIGHUP)
    return signals.run(_run(config, options), ending, loop=asyncio.new_event_loop)


async def _run(config: Config, options: Options) -> int:
    async with open_session(config, options) as session:
        await LineMode(session).run()
    return exits.OK


class LineMode:
    """One sitting; the session's ``Listener``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
        self._style = Style(colour=not self._dumb and not os.environ.get("NO_COLOR"))
        self.prompt = Prompt(session, interrupt=self.interrupt)
        self._screen = self._make_screen()
        self._answers = Answers(self._screen, self._style, named=len(session.models) > 1, heat=self._heat)
        self._order = InOrder(self._answers, strict=False)
        self._ui = LineFrontEnd(self.prompt, self._screen, self._style, dumb=self._dumb)
        self._idle = asyncio.Event()
        self._idle.set()

    def _heat(self, exchange: Exchange) -> Sequence[Row]:
        """An answer's tokens in colours, where ``/logprobs`` asks for that."""
        kind = self._session.heat
        return () if kind == "off" else heated(tokens(exchange.answer.steps), self.prompt.columns, kind)

    def _make_screen(self) -> Screen:
        if self._dumb:
            return PlainScreen(self.prompt.app.output)
        screen = LiveScreen(self.prompt.app)
        self.prompt.draw_above(screen)
        return screen

    async def run(self) -> None:
        """Read lines and obey them until the user leaves."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        unlisten = self._session.listen(self)
        unwatch = self._session.coordinator.watch(lambda status: self.prompt.refresh())
        self._session.background.changed = self.prompt.refresh
        self._greet()
        try:
            with self._keys(), patch_stdout(raw=True), suppress(EOFError):
                while not self._ui.left:
                    line = await self.prompt.read(self._ui.take_prefill())
                    self._screen.flush()
                    await self._session.run(line, self._ui)
                    if self._dumb:  # its prompt and a growing answer cannot share the screen
                        await self._idle.wait()
        finally:
            unwatch()
            unlisten()
            self._screen.flush()
            loop.remove_signal_handler(signal.SIGINT)

    def _keys(self) -> AbstractContextManager[None]:
        """Keep keys from the terminal between two prompts, too: it would echo, edit and swallow them."""
        return nullcontext() if self._dumb else self.prompt.app.input.raw_mode()

    def interrupt(self) -> None:
        """Ctrl-C: stop what runs; else forget what is typed; else say how to leave."""
        if self._session.stop():
            return
        if self._dumb:  # the line so far cannot be taken back from the screen
            self._screen.print("\n")
        if self.prompt.buffer.text:
            self.prompt.buffer.reset()
        else:
            self._ui.show(Notice("info", "nothing runs; Ctrl-D or /quit leaves"))
        if self._dumb:
            self._screen.print(PROMPT)

    def _greet(self) -> None:
        config = self._session.config
        self._ui.show(
            Notice(
                "info",
                f"multigpu-repl {__version__} · {config.name} · /help lists the commands, Ctrl-D leaves",
            )
        )
        exchanges = self._session.exchanges
        if not exchanges:
            return
        self._ui.show(Notice("info", f"going on after {len(exchanges):,} answers; the last of them:"))
        for exchange in exchanges[-RESUMED:]:
            self._answers.again(exchange)

    # -- Listener ------------------------------------------------------------------------------------------

    def started(self, exchange: Exchange) -> None:
        """Its answer is to come."""
        self._idle.clear()
        self._answers.latest = exchange.line
        self._order.started(exchange)

    def event(self, exchange: Exchange, event: Event) -> None:
        """Show it when its turn has come."""
        self._order.event(exchange, event)

    def ended(self, exchange: Exchange) -> None:
        """The next one may be shown."""
        self._order.ended(exchange)
        if not len(self._order):
            self._idle.set()

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for."""
        self._order.notice(notice)
