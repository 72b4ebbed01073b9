from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

from backends import registry
from repl.config import Config
from repl.session import decoding
from repl.session.record.store import Store
from repl.session.session import Session
from tests.session.library import Library
from tests.session.support import SUPPORT, Pool, Screen, config
from tests.session.support import opened as opened_over

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two made-up backends beside the registered ones: ``full`` honours all parameters, ``narrow`` a few."""
    real = registry.find

    def find(name: str) -> object:
        return SimpleNamespace(parameters=SUPPORT[name]) if name in SUPPORT else real(name)

    monkeypatch.setattr(registry, "find", find)
    decoding.support.cache_clear()
    yield
    decoding.support.cache_clear()


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Session]]:
    """Makes sessions, and closes them at the end."""
    async with AsyncExitStack() as stack:

        def make(chosen: Config | None = None, path: Path | None = None) -> Session:
            chosen = chosen or config()
            session = Session(chosen, Pool(list(chosen.models.values())), Store(path))
            stack.push_async_callback(session.close)
            return session

        yield make


@pytest.fixture
async def store_at() -> AsyncIterator[Callable[[Path | None], Store]]:
    """Opens records, and closes them at the end."""
    stores = []

    def make(path: Path | None) -> Store:
        stores.append(Store(path))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
async def session(opened: Callable[..., Session], screen: Screen) -> Session:
    session = opened()
    session.listen(screen)
    return session


@pytest.fixture
async def library(screen: Screen) -> AsyncIterator[Session]:
    """A session whose models a and b serve every task, as can be worked out by hand."""
    session = opened_over(Library, screen)
    yield session
    await session.close()


@pytest.fixture
def do(session: Session, screen: Screen) -> Callable[..., Awaitable[str]]:
    """Types lines; returns what was shown."""

    async def do(*lines: str) -> str:
        screen.shown.clear()
        for line in lines:
            await session.run(line, screen)
        return screen.words()

    return do
