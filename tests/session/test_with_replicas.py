"""A session over the real coordinator with echo replicas: what a person would see."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from repl.config import Config
from repl.messages import Step
from repl.pool import Coordinator, ReplicaPlan
from repl.session.record.store import Store
from repl.session.session import Session
from tests.pool.conftest import Gate
from tests.session.support import Screen, config


class Watcher(Screen):
    """Lets a test wait until everything asked has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.idle = asyncio.Event()
        self.token = asyncio.Event()

    def started(self, exchange):
        super().started(exchange)
        self.running += 1
        self.idle.clear()

    def event(self, exchange, event):
        super().event(exchange, event)
        if isinstance(event, Step):
            self.token.set()

    def ended(self, exchange):
        super().ended(exchange)
        self.running -= 1
        if not self.running:
            self.idle.set()

    async def quiet(self):
        async with asyncio.timeout(60):
            await self.idle.wait()


def plans(chosen: Config) -> list[ReplicaPlan]:
    return [
        ReplicaPlan(name=f"{m.name}/0", model=m.spec(), device=f"cpu:{i}")
        for i, m in enumerate(chosen.models.values())
    ]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


@pytest.fixture
def chosen(gate: Gate) -> Config:
    return config(
        a={"backend": "echo", "options": {"faults": True}},
        chat={"backend": "echo", "options": {"chat": True}},
        gated={"backend": "echo", "options": {"gate": str(gate.path)}},
        compare=("a", "chat"),
    )


@asynccontextmanager
async def sitting(chosen: Config) -> AsyncIterator[tuple[Session, Watcher]]:
    """A session over replicas of its own, and who watches it."""
    screen = Watcher()
    async with Coordinator(plans(chosen)) as pool:
        session = Session(chosen, pool, Store(None))
        session.listen(screen)
        yield session, screen
        await session.close()


async def test_ask_compare_stop_retry_and_find_it_again(chosen: Config, gate: Gate, tmp_path: Path):
    screen = Watcher()
    async with Coordinator(plans(chosen)) as pool:
        session = Session(chosen, pool, Store(tmp_path / "r.db"))
        session.listen(screen)
        await session.run("one two three", screen)
        await screen.quiet()
        assert [x.answer.text for x in session.exchanges] == ["one two three"] * 2
        screen.token.clear()
        await session.run("@gated half of this", screen)
        gate.release(2)  # the start and one token
        async with asyncio.timeout(60):
            await screen.token.wait()
        await session.close()
    assert session.exchanges[-1].finish == "closing"
    assert session.exchanges[-1].answer.text == "half"
    async with Coordinator(plans(chosen)) as pool:
        again = Session(chosen, pool, Store(tmp_path / "r.db"))
        again.listen(screen)
        assert await again.resume()
        assert [x.prompt for x in again.exchanges] == ["one two three", "one two three", "half of this"]
        await again.run("/retry #1", screen)
        await screen.quiet()
        assert again.exchanges[-1].answer.text == "one two three"
        assert again.exchanges[-1].seed == again.exchanges[0].seed
        await again.close()
    assert not screen.errors()


async def test_chat_history_reaches_the_engine(chosen: Config):
    async with sitting(chosen) as (session, screen):
        for line in ("@chat one", "@chat two"):
            await session.run(line, screen)
            await screen.quiet()
        assert session.exchanges[1].answer.started.prompt_text == "one one two"


async def test_unknown_device_and_model_failures_are_said(chosen: Config):
    async with sitting(chosen) as (session, screen):
        await session.run("@cpu:1 x", screen)
        assert [x.model for x in session.exchanges] == ["chat"]
        await session.run("@a !nan", screen)
        await screen.quiet()
        assert session.exchanges[-1].error.kind == "nan_logits"


async def test_replicas_come_and_go_while_lines_are_answered(chosen: Config):
    async with sitting(chosen) as (session, screen):
        await session.run("/replicas add cpu a", screen)
        await session.coordinator.ready()
        assert [(s.name, s.device) for s in session.coordinator.status() if s.model == "a"] == [
            ("a/0", "cpu:0"),
            ("a/1", "cpu:3"),
        ]
        await session.run("/pin a/1", screen)
        for _ in range(3):
            await session.run("@a x", screen)
            await screen.quiet()
        assert {x.replica for x in session.exchanges} == {"a/1"}
        await session.run("/pin off", screen)
        await session.run("/replicas drain a/0", screen)
        await session.run("@a y", screen)
        await screen.quiet()
        assert session.exchanges[-1].replica == "a/1"
    assert not screen.errors()


@pytest.mark.parametrize(
    "line,said",
    [
        ("/replicas add", "on which device"),
        ("/replicas add gpu77", "no device cuda:77"),
        ("/replicas add cpu nobody", "no model 'nobody'"),
        ("/replicas add tpu", "'tpu' is not a device"),
        ("/replicas drain", "which replica"),
        ("/pin zz", "no replica or device is called 'zz'"),
        ("/replicas drain gpu9", "no replica 'cuda:9'"),
        ("/replicas dance", "does not know 'dance'"),
        ("/pin gpu5", "no replica is on cuda:5"),
        ("/pin a", "'a' is a model"),
    ],
)
async def test_what_cannot_be_done_to_replicas_is_said(line: str, said: str, chosen: Config):
    screen = Watcher()
    async with Coordinator(plans(chosen)) as pool:
        session = Session(chosen, pool, Store(None))
        await session.run(line, screen)
        assert any(said in notice.text for notice in screen.errors())
        await session.close()


async def test_stats_count_what_was_asked(chosen: Config):
    async with sitting(chosen) as (session, screen):
        await session.run("one two three", screen)
        await screen.quiet()
        await session.run("/stats", screen)
        table = screen.shown[-1]
        rows = {row[0]: row[1:] for row in table.rows}
        assert table.columns == ("", "a", "chat", "gated")
        assert rows["finished"] == ("1", "1", "0") and rows["generated tokens"] == ("3", "3", "0")
        assert rows["time to first token"][0] and rows["time to first token"][2] == ""
        assert "guessed tokens" not in rows
        drafts = session.coordinator.metrics()["a"]
        drafts.spec_decode_num_draft_tokens, drafts.spec_decode_num_accepted_tokens = 1200, 300
        await session.run("/stats", screen)
        rows = {row[0]: row[1:] for row in screen.shown[-1].rows}
        assert rows["guessed tokens"] == ("1,200", "0", "0")
        assert rows["of these accepted"] == ("300 (25%)", "0", "0")
