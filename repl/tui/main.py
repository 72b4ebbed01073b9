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
    """Start the replicas and open the record, without waiting for either; close both at the end."""
    from repl.devices import plan
    from repl.pool import Coordinator
    from repl.session.session import Session
    from repl.session.store import Store, default_path

    store = Store(None if options.no_record else default_path())
    async with Coordinator(plan(config), queue_limit=config.queue_limit) as coordinator:
        session = Session(config, coordinator, store)
        session.settings.update(options.settings)
        session.system = options.system
        if options.template is not None:
            session.template = options.template
        if options.resume:
            await session.resume()
        try:
            yield session
        finally:
            await session.close()
