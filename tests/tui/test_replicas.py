"""The app over real replica processes of the echo backend."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from repl.config import Config, ModelConfig
from repl.devices import plan
from repl.pool import Coordinator
from repl.session.record.store import Store
from repl.session.session import Session
from repl.tui.app import ReplApp
from tests.tui.support import wait_until


def configuration(**options: object) -> Config:
    model = ModelConfig(name="echo", backend="echo", path="echo", replicas=1, options=options)
    return Config(name="test", models={"echo": model}, compare=("echo",))


def app_over(config: Config) -> ReplApp:
    @asynccontextmanager
    async def open_session() -> AsyncIterator[Session]:
        async with Coordinator(plan(config)) as coordinator:
            session = Session(config, coordinator, Store(None))
            try:
                yield session
            finally:
                await session.close()

    return ReplApp(config, open_session)


def shown(app: ReplApp) -> str:
    transcript = app.panes.pane("echo").transcript
    return transcript.extract((0, 0), (1 << 60, 0)).replace("\u00a0", " ")


async def test_an_answer_streams_from_a_process_and_is_settled() -> None:
    app = app_over(configuration())
    async with app.run_test(size=(80, 24)) as pilot:
        app.prompt.fill("one two three")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "3 tok" in shown(app))
        assert "one two three\none two three\n3 tok" in shown(app)
    await app.close()


async def test_a_replica_that_dies_leaves_its_partial_answer_and_comes_back() -> None:
    app = app_over(configuration(tokens_per_second=20.0, length=1000))
    async with app.run_test(size=(80, 24)) as pilot:
        app.prompt.fill("again and again")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "again and again again" in shown(app))
        assert app.session is not None
        (status,) = app.session.status()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await wait_until(pilot, lambda: "lost: " in shown(app))
        assert "again and again again" in shown(app)
        await wait_until(pilot, lambda: app.session and app.session.status()[0].state == "ready")
        await wait_until(pilot, lambda: "restarting" not in shown(app))
    await app.close()


async def test_a_model_that_cannot_load_says_why_in_its_pane() -> None:
    app = app_over(configuration(load_error="no such file: model.pt"))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: "failed: no such file: model.pt" in shown(app))
        app.prompt.fill("hello")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "#1" in shown(app) and "failed: " in shown(app))
    await app.close()
