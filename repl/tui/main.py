"""Runs the app on an event loop and sees the session closed, however the app ended."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from repl import eventloop
from repl.arguments import PROGRAM
from repl.safe import visible_line
from repl.tui.app import ReplApp
from repl.tui.input import pastes, terminal_keys
from repl.tui.remembered import Remembered

if TYPE_CHECKING:
    from repl.config import Config
    from repl.options import Options
    from repl.session.frontend import Notice
    from repl.session.session import Session
    from repl.tui.input.typeahead import TypeAhead


def main(config: Config, options: Options, keys: TypeAhead) -> int:
    """Open the app; returns the exit code."""
    if not sys.stderr.isatty() and sys.__stdout__ is not None:
        vars(sys)["__stderr__"] = sys.__stdout__  # Textual draws on the original stderr, which goes elsewhere
    # Keys are read and frames written by threads. While answers stream, each waits its turn for the
    # interpreter: at Python's 5 ms a turn the 95th percentile of key echo was 30 ms, at this it was 12.
    sys.setswitchinterval(0.0005)
    terminal_keys.install()
    pastes.install()
    return eventloop.run(_main(config, options, keys))


async def _main(config: Config, options: Options, keys: TypeAhead) -> int:
    remembered = Remembered()
    theme = options.theme or config.theme or remembered.theme
    app = ReplApp(config, lambda: open_session(config, options), theme, keys.typed, remembered)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, partial(app.exit, return_code=128 + number))
    try:
        await app.run_async()
    finally:
        keys.give_back()  # the shell may be typed at already
        _say(await app.close())
    return app.return_code or 0


def _say(notices: Sequence[Notice]) -> None:
    """What is known only after the screen was given back, such as a record that could not be closed."""
    for notice in notices:
        for words in filter(None, (notice.text, notice.hint)):
            print(f"{PROGRAM}: {visible_line(words)}", file=sys.stderr)


@asynccontextmanager
async def open_session(config: Config, options: Options) -> AsyncIterator[Session]:
    """A session; the pool and the record are imported only now, after the first frame."""
    from repl import opening

    async with opening.open_session(config, options) as session:
        yield session
