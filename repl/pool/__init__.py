"""The pool: one coordinator, one process for each replica.

Front ends use what is exported here; ``worker`` and ``driver`` run in the replica processes.
"""

from repl.pool.coordinator import Coordinator, QueueFull, Refused, Unavailable, Unsendable
from repl.pool.plan import Limits, ReplicaPlan, ReplicaStatus, State
from repl.pool.ticket import Ticket, Timings

__all__ = [
    "Coordinator",
    "Limits",
    "QueueFull",
    "Refused",
    "ReplicaPlan",
    "ReplicaStatus",
    "State",
    "Ticket",
    "Timings",
    "Unavailable",
    "Unsendable",
]
