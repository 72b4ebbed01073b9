"""Makes the pictures of the documentation from the running app: ``python docs/picture.py [NAME ...]``.

The app runs without a terminal on the demo models; what it has drawn is saved in ``docs/pictures``:
``app.svg`` and, in light colours, ``app-light.svg``, and one for each of some commands that look inside. The
seed is fixed, so the answers are the same each time; the rates are those of the machine.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from textual.pilot import Pilot

from repl.config import Arguments, choose
from repl.opening import open_session
from repl.options import Options
from repl.tui.app import ReplApp

FOLDER = Path(__file__).parent / "pictures"
SIZE = (120, 28)
LINES = (
    "@num2digits two hundred and five",
    "@num2digits nine thousand and forty",
    "/set temperature 0.3",
    "/set max_new 48",
    "@lm-late,lm-early The with statement",
    "@lm-late,lm-early A list is",
)
TOKEN_LINES = ("/compare lm-late lm-early", "/set logprobs 5", "/set max_new 40", "A context manager is")
TOKEN_KEYS = ("f4", "alt+1", "f3", "right", "right", "down")
PATIENCE = 120.0
FONT_RULES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def save(app: ReplApp, name: str) -> None:
    """Save the screen with the reader's own monospaced font; nothing in it is fetched from elsewhere."""
    svg = app.export_screenshot(title="multigpu-repl")
    svg = FONT_RULES.sub("", svg).replace("Fira Code", "monospace")
    (FOLDER / name).write_text(svg + "\n", encoding="utf-8")


async def ask(app: ReplApp, pilot: Pilot[None], *lines: str) -> None:
    """Send each line, and wait for all that comes of it."""
    session = app.session
    assert session is not None
    for line in lines:
        app.submit_line(line)
        await pilot.pause(0.5)
        await until(lambda: all(x.done for x in session.exchanges) and not session.background.works)
        await pilot.pause(0.5)


async def answers(app: ReplApp, pilot: Pilot[None]) -> None:
    """Three models and their answers."""
    await ask(app, pilot, *LINES)


async def tokens(app: ReplApp, pilot: Pilot[None]) -> None:
    """Two answers by surprisal, and the cursor on a token of the first."""
    await ask(app, pilot, *TOKEN_LINES)
    await pilot.press(*TOKEN_KEYS)
    await pilot.pause(0.5)
    app.frame.say("")


async def apart(app: ReplApp, pilot: Pilot[None]) -> None:
    """How far two models are apart along an answer."""
    await ask(app, pilot, *TOKEN_LINES, "/diverge lm-late lm-early")
    await pilot.press("f6", "f6", "f6", "f2")


async def layers(app: ReplApp, pilot: Pilot[None]) -> None:
    """What each layer of a model would say at each token of a text."""
    await ask(app, pilot, "/compare lm-late", "/lens The with statement is used to wrap the execution")
    await pilot.press("f6", "f6", "f2")


SCENES: dict[str, Callable[[ReplApp, Pilot[None]], Awaitable[None]]] = {
    "app": answers,
    "tokens": tokens,
    "diverge": apart,
    "lens": layers,
}


async def picture(name: str) -> None:
    """Play a scene and save what is drawn; the first one in light colours too."""
    config = choose(Arguments(config="demo"))
    options = Options(no_record=True, settings={"seed": 7})
    app = ReplApp(config, lambda: open_session(config, options))
    async with app.run_test(size=SIZE) as pilot:
        app.prompt.cursor_blink = False
        await until(lambda: app.session is not None)
        assert app.session is not None
        await app.session.coordinator.ready()
        await SCENES[name](app, pilot)
        FOLDER.mkdir(exist_ok=True)
        await pilot.pause(0.5)
        save(app, f"{name}.svg")
        if name == "app":
            app.theme = "light"
            await pilot.pause(0.5)
            save(app, "app-light.svg")
    await app.close()


async def main(names: Sequence[str]) -> None:
    """Make the pictures named, or all of them."""
    for name in names or SCENES:
        await picture(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
