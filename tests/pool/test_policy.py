"""The choice of request and replica, on pretended replicas."""

import time
from dataclasses import dataclass

import pytest

from repl.pool import policy
from repl.pool.queue import FairQueue
from repl.pool.ticket import Ticket
from tests.pool.test_queue import ticket


@dataclass
class Server:
    name: str
    slots: int = 1
    running: int = 0

    @property
    def free(self) -> int:
        return self.slots - self.running

    @property
    def load(self) -> float:
        return self.running / self.slots


def serve(queue: FairQueue, servers: list[Server], now: float | None = None) -> list[tuple[int, str]]:
    done = []
    for entry, server in policy.bindings(queue, servers, now):
        server.running += 1
        done.append((entry.request.id, server.name))
    return done


def at_home(number: int, home: str, user: str = "a") -> Ticket:
    entry = ticket(number, user)
    entry.home = home
    return entry


def test_the_fewest_running_per_slot_wins_whatever_the_size() -> None:
    queue = FairQueue()
    for number in range(3):
        queue.push(ticket(number))
    servers = [Server("small", slots=2, running=1), Server("large", slots=10, running=4)]
    # 4/10 against 1/2; then 5/10 against 1/2, a tie; whichever took it, the other is next.
    first, *rest = serve(queue, servers)
    assert first == (0, "large") and {name for _, name in rest} == {"small", "large"}


def test_a_freed_slot_prefers_a_conversation_at_home_there_close_behind_the_first() -> None:
    queue = FairQueue()
    for number, home in enumerate(["r1", "r1", "r0", "r0"]):
        queue.push(at_home(number, home))
    assert serve(queue, [Server("r0")]) == [(2, "r0")]


def test_affinity_looks_no_further_than_its_window() -> None:
    queue = FairQueue()
    for number in range(policy.LOOK):
        queue.push(at_home(number, "r1"))
    queue.push(at_home(99, "r0"))
    assert serve(queue, [Server("r0")]) == [(0, "r0")]


def test_affinity_never_holds_back_a_request_that_has_waited_long() -> None:
    queue = FairQueue()
    queue.push(at_home(0, "r1"))
    queue.push(at_home(1, "r0"))
    later = time.monotonic() + policy.PATIENCE + 1
    assert serve(queue, [Server("r0")], now=later) == [(0, "r0")]


def test_affinity_does_not_lift_the_batch_over_a_typed_line() -> None:
    queue = FairQueue()
    queue.push(ticket(0))
    batch = ticket(1, "run", interactive=False)
    batch.home = "r0"
    queue.push(batch)
    assert serve(queue, [Server("r0")]) == [(0, "r0")]


def test_a_thousand_pasted_lines_delay_another_users_line_by_one_request() -> None:
    queue = FairQueue()
    for number in range(1000):
        queue.push(ticket(number, "paster"))
    server = Server("r0")
    assert serve(queue, [server]) == [(0, "r0")]
    queue.push(ticket(1000, "typist"))
    server.running = 0
    first = serve(queue, [server])
    server.running = 0
    assert 1000 in {first[0][0], serve(queue, [server])[0][0]}


def test_shortest_first_ages_so_that_a_long_request_is_not_starved() -> None:
    per_second = policy.TOKENS_PER_SECOND_WAITED
    long_and_old = policy.rank(0.0, 1, 500)
    assert policy.rank(500 / per_second - 1, 2, 10) < long_and_old
    assert policy.rank(500 / per_second, 3, 10) > long_and_old
    assert policy.rank(99.0, 7, None) < policy.rank(0.0, 8, None)


@pytest.mark.parametrize("pin", ["r0", "r1"])
def test_a_pin_outweighs_home_and_load(pin: str) -> None:
    queue = FairQueue()
    entry = ticket(0, pin=frozenset({pin}))
    entry.home = "r0"
    queue.push(entry)
    assert serve(queue, [Server("r0", 4, 3), Server("r1", 4, 0)]) == [(0, pin)]
