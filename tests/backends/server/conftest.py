"""A server for each test, and an engine that asks it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backends.server import load
from backends.server.engine import ServerEngine
from repl.messages import Event, ModelSpec, Request
from repl.params import Params
from repl.pool.driver import Driver
from tests.backends.server.scripted import Scripted, running, served


@pytest.fixture
def server() -> Iterator[Scripted]:
    with running() as started:
        started.scripts["/v1/models"] = served("small")
        yield started


@pytest.fixture
def opened(server: Scripted) -> Iterator[Callable[..., ServerEngine]]:
    """An engine on the server; ``options`` are those of the configuration."""
    engines: list[ServerEngine] = []

    def make(path: str = "", prompt_template: str | None = None, **options: object) -> ServerEngine:
        spec = ModelSpec(
            name="far",
            backend="server",
            path=path or server.url,
            options=options,
            prompt_template=prompt_template,
        )
        engines.append(load.load(spec))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def asking(number: int = 1, prompt: str = "hello", **fields: Any) -> Request:
    names = Params.__struct_fields__
    params = Params(**{name: value for name, value in fields.items() if name in names})
    rest = {name: value for name, value in fields.items() if name not in names}
    return Request(id=number, model="far", prompt=prompt, params=params, **rest)


def answers(engine: ServerEngine, *requests: Request) -> dict[int, list[Event]]:
    """All events of each, through the loop that drives engines."""
    driver = Driver(engine)
    events = [event for request in requests for event in driver.admit(request)]
    while driver.busy:
        events += driver.step()
    return {request.id: [event for event in events if event.id == request.id] for request in requests}


def answer(engine: ServerEngine, **fields: Any) -> list[Event]:
    return answers(engine, asking(**fields))[1]
