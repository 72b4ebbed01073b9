"""A toy pool that tells its whole distributions, which may jitter, of answers and of texts it scores."""

import math
import struct

import msgspec

from repl.messages import Finished, Request, Started, Step
from repl.session.session import Session
from tests.session.support import Handle, opened, pool_of
from tests.session.toy import PIECES, Toy, write

OTHER = {
    None: (0.1, 0.5, 0.3, 0.1),
    1: (0.1, 0.2, 0.4, 0.3),
    2: (0.2, 0.5, 0.1, 0.2),
    3: (0.4, 0.3, 0.2, 0.1),
}
"""Parts from the toy's own table after a and b; its first choice differs after b."""


class Teller(Toy):
    """Answers ``score`` and honours ``distributions``."""

    def __init__(self, models):
        super().__init__(models)
        self.change("a", "b", tasks=("generate", "score", "tokenize"), distributions=True)
        self.jitter: dict[str, float] = {}
        """Added to the log-probability of the first token of what these replicas read in the fast lane."""
        self.reads: list[Request] = []

    def change(self, *models: str, **fields) -> None:
        """Change what these models can do."""
        for name, status in self.replicas.items():
            if status.model in models:
                known = msgspec.structs.replace(status.capabilities, **fields)
                self.replicas[name] = msgspec.structs.replace(status, capabilities=known)

    def serve(self, ticket: Handle) -> None:
        request = ticket.request
        self.reads.append(request)
        if ticket.done or request.model in self.broken or request.task == "tokenize":
            super().serve(ticket)
            return
        ticket.place(ticket.pin or f"{request.model}/{request.id % 2}")
        ticket.deliver(Started(id=request.id, prompt_ids=(9,), prompt_text=request.prompt))
        table = self.tables[request.model]
        if request.task == "score":
            read = request.target_ids or [PIECES.index(b" " + w.encode()) for w in request.target.split()]
            params = msgspec.structs.replace(request.params, max_new=len(read))
            request = msgspec.structs.replace(request, prefix_ids=tuple(read), params=params)
        steps, reason = write(request, table)
        for step in self.told(request, steps):
            ticket.deliver(step)
        text = "".join(step.text for step in steps)
        ticket.deliver(
            Finished(id=request.id, reason=reason, text=text, batch=3 if request.lane == "fast" else 1)
        )

    def told(self, request: Request, steps: list[Step]) -> list[Step]:
        """The steps with their distributions, where they were asked for, and with noise."""
        found, last = [], None
        for step in steps:
            row = [math.log(p) for p in self.tables[request.model][last]]
            if step.index == 0 and request.lane == "fast":
                row[step.token] += self.jitter.get(request.model, 0.0)
            if request.distributions:
                packed = struct.pack(f"<{len(PIECES)}f", *row)
                step = msgspec.structs.replace(step, distribution=packed, raw_lp=row[step.token])
            found.append(step)
            last = step.token
        return found


def reading_session(screen, *names: str) -> Session:
    """A session of such models; ``b`` has the other table."""
    session = opened(Teller, screen, *(names or ("a", "b")), compare=("a",))
    pool_of(session).tables["b"] = OTHER
    return session
