"""Opens a pool and a session for a front end: the replicas, the record, what the command line asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext

from repl.config import Config, ConfigError
from repl.devices import plan
from repl.options import Options
from repl.pool import Coordinator, ReplicaPlan
from repl.pool.nursery import Nursery
from repl.pool.steady import steady
from repl.pool.trace import Trace
from repl.session.errors import InputError
from repl.session.record.store import Store, default_path
from repl.session.session import Session


@asynccontextmanager
async def open_pool(
    config: Config, options: Options, plans: Sequence[ReplicaPlan], queue_limit: int
) -> AsyncIterator[Coordinator]:
    """Start replicas without waiting for them; they, the trace and the metrics port are closed at the end.

    Raises ``ConfigError`` for a trace that cannot be written or a port that cannot be served.
    """
    with closing(_trace(options)) if options.trace else nullcontext() as trace:
        async with Nursery() as nursery:
            pool = Coordinator(
                plans, queue_limit=queue_limit, order=config.order, trace=trace, launch=nursery.launch
            )
            with _exported(pool, options.metrics_port), steady():
                async with pool:
                    yield pool


@asynccontextmanager
async def open_session(config: Config, options: Options) -> AsyncIterator[Session]:
    """Start the replicas and the record without waiting for either; both are closed at the end.

    Raises ``ConfigError`` for devices that are not there, a trace that cannot be written, a port that cannot
    be served or a session that cannot be resumed.
    """
    plans = await asyncio.to_thread(plan, config)  # a driver may take seconds to wake its cards
    async with open_pool(config, options, plans, config.queue_limit) as pool:
        session = Session(config, pool, Store(None if options.no_record else default_path()))
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


@contextmanager
def _exported(pool: Coordinator, port: int | None) -> Iterator[None]:
    """Serve the pool's figures on ``port``, if there is one."""
    if port is None:
        yield
        return
    try:
        from repl.exporter import serve
    except ImportError as error:
        install = "pip install 'multigpu-repl[metrics]'"
        raise ConfigError(f"--metrics-port needs the package {error.name}: {install}") from None
    try:
        stop = serve(pool, port)
    except OSError as error:
        raise ConfigError(f"--metrics-port {port}: {error.strerror}") from None
    try:
        yield
    finally:
        stop()
