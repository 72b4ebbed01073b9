"""What an engine costs beside its rate: the wait for a lone line's first token, and memory."""

import asyncio
import statistics
import time
from collections.abc import Sequence

import msgspec

from repl.bench import peak
from repl.bench.report import Figure
from repl.messages import Request, Step
from repl.params import Params
from repl.pool import Coordinator
from repl.pool.ticket import Ticket

LONE = 5
"""Lines that are asked one after another."""


async def figures(case: str, model: str, pool: Coordinator, line: str, params: Params) -> list[Figure]:
    """Of a pool that is idle; first tokens of a plain greedy answer and of the beams that were measured."""
    found = []
    for search in (msgspec.structs.replace(params, beam=1), params):
        waits = [await _first_token(pool, model, line, search) for _ in range(LONE)]
        found.append(
            Figure(
                name=f"{case}, {model}, first token, beam {search.beam}",
                unit="ms",
                ours=1000 * statistics.median(waits),
            )
        )
    pids = [status.pid for status in pool.status() if status.pid is not None]
    return found + memory_of(case, model, pids)


def memory_of(case: str, name: str, pids: Sequence[int]) -> list[Figure]:
    """The most memory that one of these processes has held; nothing where the system does not tell."""
    sizes = [size for pid in pids if (size := peak.of(pid)) is not None]
    return [memory(case, name, max(sizes))] if sizes else []


def memory(case: str, name: str, size: int) -> Figure:
    """``size`` is in bytes."""
    return Figure(name=f"{case}, {name}, memory", unit="MB", ours=size / 1e6)


async def _first_token(pool: Coordinator, model: str, line: str, params: Params) -> float:
    """Seconds from handing a line over to its first token."""
    began, arrived = time.perf_counter(), asyncio.get_running_loop().create_future()

    def look(ticket: Ticket, event: object) -> None:
        if isinstance(event, Step) and not arrived.done():
            arrived.set_result(time.perf_counter() - began)

    ticket = pool.submit(Request(model=model, prompt=line, params=params), sink=look)
    await ticket.wait()
    waited: float = await arrived
    return waited
