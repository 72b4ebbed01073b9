"""Runs the app on an event loop and sees the session closed, however the app ended."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from repl.tui import terminal_keys
from repl.tui.app import ReplApp

if TYPE_CHECKING:
    from repl.config import Config
    from repl.options import Options
    from repl.session.session import Session


def main(config: Config, options: Options) -> int:
    """Open the app; returns the exit code."""
    if not sys.stderr.isatty() and sys.__stdout__ is not None:
        vars(sys)["__stderr__"] = sys.__stdout__  # Textual draws on the original stderr, which goes elsewhere
    # Keys are read and frames written by threads. While answers stream, each waits its turn for the
    # interpreter: at Python's 5 ms a turn the 95th percentile of key echo was 30 ms, at this it was 12.
    sys.setswitchinterval(0.0005)
    terminal_keys.install()
    return asyncio.run(_main(config, options))


async def _main(config: Config, options: Options) -> int:
    app = ReplApp(config, lambda: open_session(config, options), options.theme or config.theme)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        with suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, app.action_leave)
    try:
        await app.run_async()
    finally:
        await app.close()
    return app.return_code or 0


@asynccontextmanager
async def open_session(config: Config, options: Options) -> AsyncIterator[Session]:
    """A session; the pool and the record are imported only now, after the first frame."""
    from repl import opening

    async with opening.open_session(config, options) as session:
        yield session
