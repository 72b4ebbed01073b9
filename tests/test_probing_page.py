"""Every example of docs/probing.md is carried out on the demo models, in the order of the page."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from repl.config import Arguments, choose
from repl.opening import open_session
from repl.options import Options
from repl.probe.figure import Figure, as_text
from repl.probe.table import row_width
from repl.session.commands import probing
from repl.session.session import Session
from tests.session.test_with_replicas import Watcher

PAGE = (Path(__file__).parent.parent / "docs" / "probing.md").read_text(encoding="utf-8")
WIDTH = 100
ENCODERS = ("/cloze", "/classify")
"""Their examples are in a session of their own."""


class Step(NamedTuple):
    """Lines typed, each shown after ``> ``, and what the page shows of their outcome."""

    lines: tuple[str, ...]
    shown: tuple[str, ...]


def steps(block: str) -> Iterator[Step]:
    """The steps of a block, in order."""
    for typed, group in re.findall(r"((?:^> .*\n)+)((?:^(?!> ).*\n)*)", block, flags=re.MULTILINE):
        yield Step(tuple(row[2:] for row in typed.splitlines()), tuple(group.split("\n")))


EXAMPLES = [
    step for block in re.findall(r"```text\n(> .*?)```", PAGE, flags=re.DOTALL) for step in steps(block)
]


def shape(row: str) -> str:
    """A row without its numbers, bars and spaces: they may differ in the last digit on another machine."""
    return "".join(re.sub(r"[-+\d.,:%…·▁▂▃▄▅▆▇█▉▊▋▌▍▎▏]+", "", row).split())


def test_every_command_has_its_example() -> None:
    typed = {line.split()[0][1:] for example in EXAMPLES for line in example.lines if line[0] == "/"}
    assert {command.name for command in probing.COMMANDS} <= typed


def test_every_chapter_is_in_the_table_of_contents() -> None:
    chapters = re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    links = dict(re.findall(r"\[([^]]+)\]\(#([\w-]+)\)", PAGE[: PAGE.index("\n## ")]))
    assert list(links) == chapters
    assert all(links[title] == re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in chapters)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """The files that the page shows."""
    for name, text in re.findall(r"```text\nfile (\S+)\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fairseq") is None, reason="fairseq is not installed")
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("config", ["demo", "encoders"])
async def test_every_example_gives_what_the_page_shows(config, files) -> None:
    examples = [e for e in EXAMPLES if e.lines[-1].startswith(ENCODERS) == (config == "encoders")]
    screen = Watcher()
    async with open_session(choose(Arguments(config=config)), Options(no_record=True)) as session:
        session.listen(screen)
        await session.coordinator.ready()
        for example in examples:
            screen.shown.clear()
            before = len(session.exchanges)
            for line in example.lines:
                await carry_out(session, line, screen)
            for figure in (output for output in screen.shown if isinstance(output, Figure)):
                for width in (60, 80, WIDTH):
                    wide = [row for row in figure.rows(width) if row_width(row) > width]
                    assert not wide, (example.lines, width)
            shown = shape(told(session.exchanges[before:], screen))
            assert shape(example.shown[0]) in shown, example.lines


async def carry_out(session: Session, line: str, screen: Watcher) -> None:
    """Type a line and wait for all that comes of it."""
    await session.run(line, screen)
    if screen.running:
        await screen.quiet()
    assert not screen.errors(), line


def told(exchanges, screen: Watcher) -> str:
    """Answers and figures, as line mode has them."""
    answers = [f"{x.model}  {x.answer.text}" for x in exchanges if x.shown]
    figures = [
        f"{output.title}\n{as_text(output.rows(WIDTH))}"
        for output in screen.shown
        if isinstance(output, Figure)
    ]
    notices = [output.text for output in screen.shown if hasattr(output, "level")]
    return "\n".join(answers + figures + notices)
