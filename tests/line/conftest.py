"""Line mode without a terminal: keys go in by a pipe, and what is printed for good is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from repl.config import Config, ModelConfig
from repl.line.app import LineMode
from repl.messages import Event
from repl.opening import open_session
from repl.options import Options
from repl.session.exchange import Exchange
from repl.session.frontend import Notice
from repl.session.session import Session
from tests.echo import PATIENCE
from tests.pool.conftest import Gate


class Paper(DummyOutput):
    """Keeps what is printed, without what the prompt draws over and over."""

    def __init__(self) -> None:
        self.text = ""
        self.moved = asyncio.Event()

    def write_raw(self, data: str) -> None:
        self.text += data
        self.moved.set()


class Sitting:
    """A line mode that runs."""

    def __init__(self, session: Session, mode: LineMode, keys: PipeInput, paper: Paper) -> None:
        self.session = session
        self.buffer = mode.prompt.buffer
        self._keys = keys
        self._paper = paper
        self.buffer.on_text_changed += lambda buffer: paper.moved.set()
        session.listen(self)

    @property
    def printed(self) -> str:
        return self._paper.text

    def type(self, keys: str) -> None:
        self._keys.send_text(keys)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds`` does, looked at whenever something was printed, typed or answered."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._paper.moved.clear()
                await self._paper.moved.wait()

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.printed)

    async def remembers(self) -> None:
        """Wait for the lines of earlier sittings, which the prompt fetches while it is shown already."""
        async with asyncio.timeout(PATIENCE):
            while not self.buffer.history.get_strings():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)

    async def streams(self) -> None:
        """Wait for the first token."""
        await self.until(lambda: any(x.answer.steps for x in self.session.exchanges))

    def started(self, exchange: Exchange) -> None:
        self._paper.moved.set()

    def event(self, exchange: Exchange, event: Event) -> None:
        self._paper.moved.set()

    def ended(self, exchange: Exchange) -> None:
        self._paper.moved.set()

    def notice(self, notice: Notice) -> None:
        self._paper.moved.set()


def models(*names: str, **options: object) -> Config:
    made = {
        name: ModelConfig(
            name=name, backend="echo", path="none", slots=1, options={"faults": True, **options}
        )
        for name in names
    }
    return Config(name="test", models=made, compare=names)


@asynccontextmanager
async def sitting(
    config: Config, options: Options | None = None, *, leave: str = "\x04"
) -> AsyncIterator[Sitting]:
    """Open line mode, and leave it at the end by ``leave`` (Ctrl-D)."""
    paper = Paper()
    with create_pipe_input() as keys, create_app_session(input=keys, output=paper):
        async with open_session(config, options or Options(no_record=True)) as session:
            mode = LineMode(session)
            task = asyncio.create_task(mode.run())
            line = Sitting(session, mode, keys, paper)
            await line.shows("/help lists the commands")
            yield line
            keys.send_text(leave)
            async with asyncio.timeout(PATIENCE):
                await task


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()
