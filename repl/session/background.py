"""Commands that take a while, carried out while the user goes on typing."""

import asyncio
from collections.abc import Awaitable

from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice


class Background:
    """The commands on their way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Awaitable[None], name: str, ui: FrontEnd) -> None:
        """Begin; what goes wrong is shown."""
        task = asyncio.create_task(_carry_out(work, name, ui))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> int:
        """End all; returns how many there were."""
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)

    async def settle(self) -> None:
        """Wait until none is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _carry_out(work: Awaitable[None], name: str, ui: FrontEnd) -> None:
    try:
        await work
    except InputError as error:
        ui.show(Notice("error", f"{name}: {error.message}", error.hint))
    except asyncio.CancelledError:
        ui.show(Notice("info", f"{name} was stopped"))
        raise
    except Exception as error:  # a fault in one command must not end the sitting
        words = f"{name}: {type(error).__name__}: {error}"
        ui.show(Notice("error", words, "this is a fault of the program; the session goes on"))
