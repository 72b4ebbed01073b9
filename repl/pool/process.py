"""What the coordinator needs of a process that runs a replica, wherever it runs, and of what starts it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from repl.pool.plan import ReplicaPlan
from repl.pool.transport import FrameProtocol, ProtocolFactory


class Process(Protocol):
    """A started replica, wherever it runs."""

    connection: FrameProtocol

    @property
    def pid(self) -> int:
        """Process number on its machine."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...

    async def wait(self, within: float | None = None) -> int | None:
        """Exit status, or None if it still runs after ``within`` seconds."""
        ...

    def last_words(self) -> list[str]:
        """The last lines it wrote."""
        ...


Launcher = Callable[[ReplicaPlan, ProtocolFactory], Awaitable[Process]]
