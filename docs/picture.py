"""Makes the pictures of the README from the running app: ``python docs/picture.py``.

The app runs without a terminal on the demo models; what it has drawn is saved as ``docs/pictures/app.svg``
and, in light colours, ``docs/pictures/app-light.svg``; ``tokens.svg`` shows the tokens of two answers. The seed is fixed, so the answers are the same each
time; the rates are those of the machine.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

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


async def main() -> None:
    """Ask the demo models and save what is drawn, in dark and in light."""
    config = choose(Arguments(config="demo"))
    options = Options(no_record=True, settings={"seed": 7})
    app = ReplApp(config, lambda: open_session(config, options))
    async with app.run_test(size=SIZE) as pilot:
        app.prompt.cursor_blink = False
        await until(lambda: app.session is not None)
        session = app.session
        assert session is not None
        await session.coordinator.ready()
        for line in LINES:
            app.submit_line(line)
            await until(lambda: bool(session.exchanges) and all(x.done for x in session.exchanges))
            await pilot.pause(0.5)
        FOLDER.mkdir(exist_ok=True)
        for theme, name in (("dark", "app.svg"), ("light", "app-light.svg")):
            app.theme = theme
            await pilot.pause(0.5)
            save(app, name)
        app.theme = "dark"
        for line in TOKEN_LINES:
            app.submit_line(line)
            await pilot.pause(0.5)
            await until(lambda: all(x.done for x in session.exchanges))
        await pilot.press(*TOKEN_KEYS)
        await pilot.pause(0.5)
        app.frame.say("")
        await pilot.pause(0.5)
        save(app, "tokens.svg")
    await app.close()


if __name__ == "__main__":
    asyncio.run(main())
