"""Order and fairness of the central queue, against a plain model of the rule."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Request
from repl.params import Params
from repl.pool.queue import FairQueue
from repl.pool.ticket import Ticket


def ticket(
    number: int, user: str = "a", interactive: bool = True, pin: frozenset[str] | None = None
) -> Ticket:
    async def make() -> Ticket:
        request = Request(id=number, model="m", prompt="", params=Params())
        return Ticket(
            request,
            user=user,
            interactive=interactive,
            pin=pin,
            home=None,
            sink=None,
            cancel=lambda t, r: None,
            ended=lambda t: None,
        )

    return asyncio.run(make())


def drain(queue: FairQueue, free: set[str]) -> list[int]:
    out = []
    while heads := queue.peek(free, 1):
        queue.take(heads[0])
        out.append(heads[0].request.id)
    return out


def test_users_alternate_whatever_they_pasted() -> None:
    queue = FairQueue()
    for number in range(5):
        queue.push(ticket(number, "a"))
    queue.push(ticket(5, "b"))
    queue.push(ticket(6, "b"))
    assert drain(queue, {"r"}) == [0, 5, 1, 6, 2, 3, 4]


def test_the_batch_comes_last_and_front_comes_first() -> None:
    queue = FairQueue()
    queue.push(ticket(1, interactive=False))
    queue.push(ticket(2))
    queue.push(ticket(3, "b"))
    queue.push(ticket(0, "b"), front=True)
    assert drain(queue, {"r"}) == [0, 2, 3, 1]


def test_a_pin_is_passed_over_until_its_replica_is_free() -> None:
    queue = FairQueue()
    queue.push(ticket(0, pin=frozenset({"r1"})))
    queue.push(ticket(1))
    assert drain(queue, {"r0"}) == [1]
    assert drain(queue, {"r0", "r1"}) == [0]


actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("push"), st.sampled_from("abc"), st.booleans(), st.sampled_from([None, "r0", "r1"])
        ),
        st.tuples(st.just("pop"), st.sets(st.sampled_from(["r0", "r1"]), min_size=1)),
        st.tuples(st.just("discard"), st.integers(0, 30)),
    ),
    max_size=40,
)


@given(actions)
def test_nothing_is_lost_doubled_or_served_where_it_may_not_be(script: list[tuple[object, ...]]) -> None:
    queue, waiting, made = FairQueue(), {}, 0
    for action in script:
        if action[0] == "push":
            pin = frozenset({str(action[3])}) if action[3] else None
            entry = ticket(made, str(action[1]), bool(action[2]), pin)
            queue.push(entry)
            waiting[made] = entry
            made += 1
        elif action[0] == "pop":
            free = action[1]
            assert isinstance(free, set)
            able = [t for t in waiting.values() if t.pin is None or t.pin & free]
            heads = queue.peek(free, 3)
            assert bool(heads) == bool(able)
            assert len({h.request.id for h in heads}) == len(heads) and all(h in able for h in heads)
            if heads:
                head = heads[0]
                queue.take(head)
                assert head in able
                assert head.interactive or not any(t.interactive for t in able)
                same = [
                    t.request.id for t in able if (t.user, t.interactive) == (head.user, head.interactive)
                ]
                assert head.request.id == min(same)
                del waiting[head.request.id]
        else:
            entry = waiting.pop(action[1], None)
            if entry is not None:
                assert queue.discard(entry) and not queue.discard(entry)
        assert len(queue) == len(waiting)
        assert {t.request.id for t in queue} == set(waiting)
