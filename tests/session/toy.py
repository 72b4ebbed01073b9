"""A pool whose replicas answer at once, with a language model of four tokens, to be worked out by hand."""

import asyncio
import hashlib
import math
import struct

import msgspec

from repl.messages import Error, Failed, Finished, Request, Started, Step
from repl.readings import Tokenized
from tests.session.support import Handle, Pool

PIECES = (b"", b" a", b" b", b" c")
END = 0
NEXT = {
    None: (0.1, 0.5, 0.3, 0.1),
    1: (0.1, 0.1, 0.6, 0.2),
    2: (0.2, 0.3, 0.1, 0.4),
    3: (0.4, 0.3, 0.2, 0.1),
}
"""Probabilities of the end, a, b and c after each token. Greedy: a b c, end."""


class Toy(Pool):
    """Serves every task the commands of this room ask."""

    def __init__(self, models):
        super().__init__(models)
        for name, status in self.replicas.items():
            capabilities = msgspec.structs.replace(status.capabilities, vocab_fingerprint="toy")
            self.replicas[name] = msgspec.structs.replace(status, capabilities=capabilities)
        self.silent: set[str] = set()
        """Models that never answer."""
        self.broken: set[str] = set()
        """Models that fail."""
        self.shift = 0.0
        """Added to every log-probability."""
        self.tables = {model.name: NEXT for model in models}
        self.most = 0
        """Requests that were on their way at once."""
        self.asked = asyncio.Event()
        """As many requests have come as ``expect`` was told."""
        self._expected = 0

    def expect(self, count: int) -> None:
        self._expected = count
        self.asked.clear()

    def submit(self, request: Request, **options) -> Handle:
        ticket = super().submit(request, **options)
        if request.model not in self.silent:
            asyncio.get_running_loop().call_soon(self.serve, ticket)
        self.most = max(self.most, sum(not t.done for t in self.tickets))
        if len(self.tickets) == self._expected:
            self.asked.set()
        return ticket

    def serve(self, ticket: Handle) -> None:
        if ticket.done:
            return
        request = ticket.request
        ticket.place(ticket.pin or f"{request.model}/{request.id % 2}")
        if request.model in self.broken:
            error = Error(kind="unsupported", message="it cannot do that", hint="ask another")
            ticket.deliver(Failed(id=request.id, error=error))
            return
        ticket.deliver(Started(id=request.id, prompt_ids=(9,), prompt_text=request.prompt))
        if request.task == "tokenize":
            ids = [PIECES.index(b" " + word.encode()) for word in request.target.split()]
            pieces = tuple(PIECES[i] for i in ids)
            reading = Tokenized(
                ids=tuple(ids), pieces=pieces, unknown=(False,) * len(ids), decoded=request.target
            )
            ticket.deliver(Finished(id=request.id, reason="done", text="", reading=reading))
            return
        steps, reason = write(request, self.tables[request.model], self.shift)
        for step in steps:
            ticket.deliver(step)
        ticket.deliver(Finished(id=request.id, reason=reason, text="".join(s.text for s in steps), batch=1))


def write(request: Request, table=NEXT, shift=0.0) -> tuple[list[Step], str]:
    """The answer, and why it ended."""
    params, last, steps = request.params, None, []
    forced = request.prefix_ids or tuple(PIECES.index(b" " + w.encode()) for w in request.prefix.split())
    while True:
        index, chances = len(steps), table[last]
        if index < len(forced):
            token = forced[index]
        elif params.temperature == 0:
            token = chances.index(max(chances))
        else:
            key = (params.seed, request.sample, index)
            token = max(range(4), key=lambda t: math.log(chances[t]) / params.temperature + _gumbel(*key, t))
        best = sorted(range(4), key=lambda t: -chances[t])
        steps.append(
            Step(
                id=request.id,
                index=index,
                token=token,
                piece=PIECES[token],
                text=PIECES[token].decode(),
                raw_lp=math.log(chances[token]) + shift,
                rank=best.index(token),
                top=tuple((t, math.log(chances[t]) + shift, PIECES[t]) for t in best[: params.logprobs]),
                forced=index < len(forced),
            )
        )
        last = token
        if token == END:
            return steps, "eos"
        if len(steps) >= params.max_new:
            return steps, "length"


def _gumbel(*key) -> float:
    (number,) = struct.unpack("<Q", hashlib.sha256(repr(key).encode()).digest()[:8])
    return -math.log(-math.log((number + 0.5) / 2**64))
