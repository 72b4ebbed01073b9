"""Commands that take a while, carried out while the user goes on typing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice


@dataclass(eq=False)
class Work:
    """A command on its way."""

    name: str
    """With the slash."""
    done: int = 0
    total: int = 0
    """Requests, or what the command reports; 0 where it is not known, or not worth telling."""
    reports: bool = False
    """The command tells how far it is; otherwise its requests are counted."""
    began: float = field(default_factory=time.monotonic)

    @property
    def words(self) -> str:
        """``/minpair 120 of 1,000``; one of one is not worth telling."""
        return f"{self.name} {self.done:,} of {self.total:,}" if self.total > 1 else self.name

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self.began

    def asks(self, count: int) -> None:
        """It is about to make so many requests."""
        self.total += 0 if self.reports else count

    def asked(self) -> None:
        """One of its requests has ended."""
        self.done += not self.reports


_CURRENT: ContextVar[Work | None] = ContextVar("work", default=None)


def current() -> Work | None:
    """The command that the running code belongs to; None where somebody waits for it."""
    return _CURRENT.get()


class Background:
    """The commands on their way."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Work] = {}
        self.changed: Callable[[], None] = lambda: None
        """Called when a command begins, reports or ends; for a front end to set."""

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def works(self) -> Sequence[Work]:
        """All of them, in the order they were begun."""
        return tuple(self._tasks.values())

    def start(self, work: Awaitable[None], name: str, ui: FrontEnd) -> None:
        """Begin; what goes wrong is shown."""
        begun = Work(name)
        task = asyncio.create_task(_carry_out(work, begun, ui))
        self._tasks[task] = begun
        task.add_done_callback(self._ended)
        self.changed()

    def report(self, done: int, total: int) -> None:
        """Say how far the command is that calls this; where somebody waits for it, nobody asks."""
        work = current()
        if work is not None:
            work.done, work.total, work.reports = done, total, True
            self.changed()

    def stop(self) -> int:
        """End all; returns how many there were."""
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)

    async def settle(self) -> None:
        """Wait until none is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self.changed()


async def _carry_out(work: Awaitable[None], begun: Work, ui: FrontEnd) -> None:
    _CURRENT.set(begun)
    name = begun.name
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
