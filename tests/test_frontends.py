"""The same lines typed into every front end do the same: the TUI, line mode, and a pipe that speaks JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from repl.config import Config
from repl.opening import open_session
from repl.options import Options
from repl.session.session import Session
from repl.tui.app import ReplApp
from tests.line.conftest import models, sitting

PATIENCE = 30.0


class Front(Protocol):
    """A front end as the tests use it."""

    async def type(self, line: str) -> None:
        """Type a line and send it."""

    async def shows(self, text: str) -> None:
        """Wait until ``text`` can be read."""

    async def answers(self, *expected: tuple[str, str]) -> None:
        """Wait for these (model, answer), in this order, among all answers so far the last ones."""


async def until(holds: Callable[[], object], what: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - three front ends have no event in common
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(what()) from None


def plain(text: str) -> str:
    """Without the spaces that lay-out puts in."""
    return "".join(text.split())


class InProcess:
    """What the front ends in this process have in common."""

    def __init__(self, session: Session, shown: Callable[[], str], send: Callable[[str], Any]) -> None:
        self.session = session
        self._shown = shown
        self._send = send

    async def type(self, line: str) -> None:
        await until(lambda: all(x.done for x in self.session.exchanges), lambda: "an answer never ended")
        await self._send(line)

    async def shows(self, text: str) -> None:
        await until(lambda: plain(text) in plain(self._shown()), lambda: f"{text!r} not in {self._shown()}")

    async def answers(self, *expected: tuple[str, str]) -> None:
        def given() -> list[tuple[str, str]]:
            return [(x.model, x.answer.text) for x in self.session.exchanges if x.done][-len(expected) :]

        await until(lambda: given() == list(expected), lambda: f"{given()}, not {expected}")


@asynccontextmanager
async def tui(config: Config, folder: Path) -> AsyncIterator[Front]:
    app = ReplApp(config, lambda: open_session(config, Options()))
    try:
        async with app.run_test(size=(160, 60)) as pilot:
            await until(lambda: app.session is not None, lambda: "the session never opened")
            assert app.session is not None

            def drawn() -> str:
                strips = app.screen._compositor.render_strips()
                return "\n".join("".join(segment.text for segment in strip) for strip in strips)

            async def send(line: str) -> None:
                app.prompt.focus()
                app.prompt.fill(line)
                await pilot.press("enter")

            yield InProcess(app.session, drawn, send)
    finally:
        await app.close()


@asynccontextmanager
async def line_mode(config: Config, folder: Path) -> AsyncIterator[Front]:
    async with sitting(config, Options()) as line:

        async def send(text: str) -> None:
            line.type(text + "\r")

        yield InProcess(line.session, lambda: line.printed, send)


@dataclass
class PipeFront:
    """A process; its JSON is what can be read."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]]

    async def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def shows(self, text: str) -> None:
        def shown() -> str:
            kept = [event for event in self.events if event["event"] in ("notice", "table", "text")]
            return json.dumps(kept, ensure_ascii=False).replace('", "', " ").replace("\\n", " ")

        await until(lambda: plain(text) in plain(shown()), lambda: f"{text!r} not in {shown()}")

    async def answers(self, *expected: tuple[str, str]) -> None:
        def given() -> list[tuple[str, str]]:
            asked = {e["id"]: e["model"] for e in self.events if e["event"] == "asked"}
            ends = [e for e in self.events if e["event"] in ("finished", "stopped", "failed", "lost")]
            return [(asked[e["id"]], e["text"]) for e in ends][-len(expected) :]

        await until(lambda: given() == list(expected), lambda: f"{given()}, not {expected}")


@asynccontextmanager
async def pipe(config: Config, folder: Path) -> AsyncIterator[Front]:
    blocks = [
        f"  {name}: {{backend: echo, path: none, options: {{faults: true}}}}\n" for name in config.models
    ]
    (folder / "echo.yaml").write_text("models:\n" + "".join(blocks))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "repl", "--config", str(folder / "echo.yaml"), "--json",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    events: list[dict[str, Any]] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            events.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield PipeFront(process, events)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await reading
            await process.wait()


FRONTS = {"tui": tui, "line": line_mode, "pipe": pipe}


@pytest.fixture(params=FRONTS)
async def front(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Front]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TERM", "xterm-256color")
    async with FRONTS[request.param](models("alpha", "beta"), tmp_path) as front:
        yield front


async def test_lines_go_to_the_models_they_are_for(front: Front) -> None:
    await front.type("hello there")
    await front.answers(("alpha", "hello there"), ("beta", "hello there"))
    await front.type("@beta only you")
    await front.answers(("beta", "hello there"), ("beta", "only you"))
    await front.type("/use alpha")
    await front.type("and now you")
    await front.answers(("beta", "only you"), ("alpha", "and now you"))
    await front.type("/compare beta alpha")
    await front.type("both")
    await front.answers(("beta", "both"), ("alpha", "both"))
    await front.type("//not a command")
    await front.answers(("beta", "/not a command"), ("alpha", "/not a command"))


async def test_settings_change_what_is_asked(front: Front) -> None:
    await front.type("/use alpha")
    await front.type("/set max_new 1")
    await front.shows("max_new = 1")
    await front.type("one two three")
    await front.answers(("alpha", "one"))
    await front.type("/params")
    await front.shows("1 (set)")
    await front.type("/set max_new default")
    await front.type("/retry")
    await front.answers(("alpha", "one"), ("alpha", "one two three"))
    await front.type("/set top_p 2")
    await front.shows("top_p = 2")


async def test_mistakes_are_explained_and_nothing_ends(front: Front) -> None:
    for line, words in {
        "/modles": "did you mean /models",
        "/set temprature 1": "did you mean 'temperature'",
        "/set max_new 0": "a whole number of at least 1",
        "/use gamma": "gamma",
        "@gamma hello": "nothing is called @gamma",
        "/restart gamma/0": "gamma/0",
    }.items():
        await front.type(line)
        await front.shows(words)
    await front.type("@alpha !raise 0")
    await front.answers(("alpha", ""))
    await front.type("still here")
    await front.answers(("alpha", "still here"), ("beta", "still here"))


async def test_tables_and_help(front: Front) -> None:
    await front.type("/help")
    await front.shows("/compare")
    await front.type("/help retry")
    await front.shows("/retry")
    await front.type("/models")
    await front.shows("beta")
    await front.type("/replicas")
    await front.shows("alpha/0")


async def test_what_was_said_is_found_and_exported(front: Front, tmp_path: Path) -> None:
    await front.type("an unusual sentence")
    await front.answers(("alpha", "an unusual sentence"), ("beta", "an unusual sentence"))
    await front.type("/history unusual")
    await front.shows("an unusual sentence")
    for name in ("talk.md", "talk.jsonl", "talk.html"):
        await front.type(f"/export {tmp_path / name}")
        await front.shows(name)
        await until((tmp_path / name).exists, lambda missing=name: f"{missing} was not written")
        assert "an unusual sentence" in (tmp_path / name).read_text()
