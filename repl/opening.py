"""Opens a session for a front end: the replicas, the record, and what the command line asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext

from repl.config import Config, ConfigError
from repl.devices import plan
from repl.options import Options
from repl.pool import Coordinator
from repl.pool.trace import Trace
from repl.session.errors import InputError
from repl.session.session import Session
from repl.session.store import Store, default_path


@asynccontextmanager
async def open_session(config: Config, options: Options) -> AsyncIterator[Session]:
    """Start the replicas and the record without waiting for either; both are closed at the end.

    Raises ``ConfigError`` for devices that are not there, a trace that cannot be written or a session that
    cannot be resumed.
    """
    plans = plan(config)
    with closing(_trace(options)) if options.trace else nullcontext() as trace:
        async with Coordinator(plans, queue_limit=config.queue_limit, trace=trace) as coordinator:
            session = Session(config, coordinator, Store(None if options.no_record else default_path()))
            try:
                await _resume(session, options.resume)
                session.settings.update(options.settings)
                session.system = options.system or session.system
                if options.template is not None:
                    session.template = options.template
                yield session
            finally:
                await session.close()


async def _resume(session: Session, which: str | None) -> None:
    if which is None:
        return
    try:
        await session.resume(which)
    except InputError as error:
        raise ConfigError(f"--resume {which}: {error.message}: {error.hint}") from None


def _trace(options: Options) -> Trace:
    assert options.trace is not None
    try:
        return Trace(options.trace)
    except OSError as error:
        raise ConfigError(f"--trace {options.trace}: {error.strerror}") from None
