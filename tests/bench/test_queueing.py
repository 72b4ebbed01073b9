"""The policies of the benchmark on traces whose waits are known."""

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from repl.bench.queueing import Job, at_random, bound_early, central, in_turn, least_requests

TRACE = [Job(0, 4), Job(0, 1), Job(1, 1), Job(2, 1)]


def test_one_central_queue_by_hand() -> None:
    # Server A works 0-4; B 0-1, then the third job 1-2, then the fourth 2-3.
    assert central(TRACE, 2) == [0, 0, 0, 0]
    assert central(TRACE, 1) == [0, 4, 4, 4]


def test_round_robin_by_hand() -> None:
    # A, B, A, B: the third job waits behind the first.
    assert bound_early(TRACE, 2, in_turn()) == [0, 0, 3, 0]


def test_least_requests_by_hand() -> None:
    # The second job is done when the third comes, the third when the fourth comes.
    assert bound_early(TRACE, 2, least_requests(1)) == [0, 0, 0, 0]


jobs = st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 3)), min_size=1, max_size=30)


@given(jobs)
def test_on_one_server_every_policy_is_the_same_path(gaps: list[tuple[float, float]]) -> None:
    clock, trace = 0.0, []
    for gap, service in gaps:
        clock += gap
        trace.append(Job(clock, service))
    exact = central(trace, 1)
    for choose in (at_random(1), in_turn(), least_requests(1)):
        assert bound_early(trace, 1, choose) == approx(exact)
