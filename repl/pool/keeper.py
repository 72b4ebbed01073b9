"""Whom a replica reports to."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from repl.messages import Error
from repl.pool.ticket import Ticket

if TYPE_CHECKING:
    from repl.pool.replica import Replica


class Keeper(Protocol):
    """Who owns replicas: the group of their model."""

    @property
    def changed(self) -> Callable[["Replica"], None]:
        """To be called when something a front end shows is different."""
        ...

    def freed(self, replica: "Replica") -> None:
        """It can take a request."""
        ...

    def failed(self, replica: "Replica") -> None:
        """It is down and stays so."""
        ...

    def orphaned(self, replica: "Replica", tickets: Sequence[Ticket], error: Error) -> None:
        """These were running when it went away."""
        ...
