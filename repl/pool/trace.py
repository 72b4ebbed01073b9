"""A record of what the coordinator did, one JSON object a line, that the dispatch benchmark can replay.

Every line has ``t`` (seconds since the trace began) and ``event``. No prompt and no answer is kept.

    submitted   id, model, user, interactive, prompt_chars, pin, home
    placed      id, replica, try
    requeued    id
    ended       id, state, tokens; queue, first and total in seconds
    replica     name, model, device, slots, state, detail
"""

import json
import time
from pathlib import Path
from typing import TextIO

from repl.pool.plan import ReplicaStatus
from repl.pool.ticket import Ticket


class Trace:
    """An open trace; raises ``OSError`` when the file cannot be written at the start, and is silent later."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO | None = path.open("w", encoding="utf-8", buffering=1)
        self._began = time.monotonic()
        self._states: dict[str, tuple[str, str]] = {}

    def close(self) -> None:
        """End the trace."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def submitted(self, ticket: Ticket) -> None:
        """A request entered the queue."""
        request = ticket.request
        self._write(
            "submitted",
            id=request.id,
            model=request.model,
            user=ticket.user,
            interactive=ticket.interactive,
            prompt_chars=len(request.prompt),
            pin=sorted(ticket.pin) if ticket.pin else None,
            home=ticket.home,
        )

    def placed(self, ticket: Ticket) -> None:
        """A request was bound to a replica."""
        self._write("placed", id=ticket.request.id, replica=ticket.replica, **{"try": ticket.tries})

    def requeued(self, ticket: Ticket) -> None:
        """Its replica died before it showed anything."""
        self._write("requeued", id=ticket.request.id)

    def ended(self, ticket: Ticket) -> None:
        """It got its terminal event."""
        timings = ticket.timings
        self._write(
            "ended",
            id=ticket.request.id,
            state=ticket.state,
            tokens=ticket.tokens,
            queue=timings.queue_seconds,
            first=timings.first_seconds,
            total=timings.total_seconds,
        )

    def replica(self, status: ReplicaStatus) -> None:
        """A replica changed its state."""
        state = (status.state.replace("busy", "ready"), status.detail)
        if self._states.get(status.name) != state:
            self._states[status.name] = state
            self._write(
                "replica",
                name=status.name,
                model=status.model,
                device=status.device,
                slots=status.slots,
                state=state[0],
                detail=state[1],
            )

    def _write(self, event: str, **fields: object) -> None:
        if self._file is None:
            return
        line = {"t": round(time.monotonic() - self._began, 6), "event": event, **fields}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError:  # a full disk must not stop the session
            self.close()
