"""Pictures of the app, compared cell by cell and colour by colour with those under ``__snapshots__``.

After a change that is meant: ``pytest tests/tui/test_pictures.py --snapshot-update``, and look at them.
"""

import re
import sys

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from repl.messages import Error
from tests.tui.support import Desk, replica
from tests.tui.test_tokens import says

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="pictures are compared on one Python version, 3.11"
)

ANSWER = """ is used to wrap the execution of a block with methods defined by a context manager.

    with open(path) as file:
        print(file.read())
"""
TOKENS = re.findall(r"\s+\S+", ANSWER)


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageExtension)


async def drawn(desk: Desk) -> str:
    """The screen as SVG, once it shows all that was posted."""
    desk.app.prompt.cursor_blink = False
    desk.app.clock.tick()
    await desk.pilot.pause()
    return desk.app.export_screenshot(title="multigpu-repl")


async def ask(desk: Desk) -> None:
    early, late = await desk.ask("The with statement")
    early.start().say(*TOKENS).finish("length")
    late.start("top_p has no effect here").say(*TOKENS).finish()
    early, late = await desk.ask("A generator")
    early.start().say(" is", " a", " list").rewind(1).say(" a", " function")
    late.start().say(" is").fail("out of memory on cuda:1", "lower slots in the configuration")


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_two_models_side_by_side(picture: SnapshotAssertion, theme: str) -> None:
    async with Desk("lm-early", "lm-late").running(100, 26) as desk:
        desk.app.theme = theme
        desk.pool.change("lm-early/0", state="busy", running=1, tokens_per_second=212.0)
        await ask(desk)
        assert await drawn(desk) == picture


async def test_loading_and_failing(picture: SnapshotAssertion) -> None:
    error = Error(kind="missing_file", message="no such file: m.pt", hint="see demo.yaml:12", detail="a\nb")
    states = [
        replica("lm-early", state="loading", detail="weights", loading=0.4),
        replica("lm-late", 1, state="failed", error=error),
    ]
    async with Desk("lm-early", "lm-late", replicas=states).running(80, 24) as desk:
        await desk.until(lambda: any("no such file" in line for line in desk.lines("lm-late")))
        assert await drawn(desk) == picture


async def test_a_drawer_over_a_small_screen(picture: SnapshotAssertion) -> None:
    async with Desk("lm-early", "lm-late").running(60, 16) as desk:
        await ask(desk)
        await desk.command("/set temprature 1")
        await desk.until(lambda: desk.app.drawer.display)
        await desk.pilot.press("alt+1")
        assert await drawn(desk) == picture


async def test_the_heat_of_tokens_and_the_strip_beside_one(picture: SnapshotAssertion) -> None:
    async with Desk("lm-early", "lm-late").running(100, 26) as desk:
        early, late = await desk.ask("The with statement")
        costs = [(token, at % 7 * 1.7) for at, token in enumerate(TOKENS)]
        says(early.start(), *costs).finish()
        says(late.start(), *costs[:6], (" part", 3.0)).finish()
        await desk.until(lambda: any("≠ from token 6" in line for line in desk.lines("lm-late")))
        await desk.pilot.press("f4", "f3", "down")
        await desk.until(lambda: desk.app.tokens.strip.display)
        desk.app.frame.say("")
        assert await drawn(desk) == picture
