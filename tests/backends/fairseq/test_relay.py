from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from backends.fairseq.relay import Relay


def test_the_call_runs_only_while_it_is_waited_for() -> None:
    order: list[str] = []

    def call(emit: Callable[[int], None]) -> None:
        for number in range(3):
            order.append(f"made {number}")
            emit(number)
        order.append("end")

    relay = Relay(call)
    assert order == []
    for number in relay:
        order.append(f"got {number}")
    assert order == ["made 0", "got 0", "made 1", "got 1", "made 2", "got 2", "end"]
    assert next(relay, None) is None


def test_closing_ends_the_call_where_it_stands_and_its_thread() -> None:
    before = threading.active_count()
    ended: list[str] = []

    def call(emit: Callable[[int], None]) -> None:
        try:
            while True:
                try:
                    emit(1)
                except Exception:
                    ended.append("caught what it should not")
        finally:
            ended.append("cleaned up")

    for taken in (0, 1, 3):
        relay = Relay(call)
        for _ in range(taken):
            next(relay)
        relay.close()
        relay.close()
        assert list(relay) == []
        assert threading.active_count() == before
    assert ended == ["cleaned up"] * 2


def test_what_the_call_raises_is_raised_to_the_caller() -> None:
    def call(emit: Callable[[int], None]) -> None:
        emit(1)
        raise KeyError("x")

    relay = Relay(call)
    assert next(relay) == 1
    with pytest.raises(KeyError, match="x"):
        next(relay)
    assert next(relay, None) is None


def test_a_call_that_failed_keeps_nothing_of_what_it_held() -> None:
    """Its tensors may fill a GPU: who asks for memory next does not wait for the garbage collector."""

    class Tensor:
        """Stands for one."""

    held: list[weakref.ref[Tensor]] = []

    def call(emit: Callable[[int], None]) -> None:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise RuntimeError("out of memory")

    relay = Relay(call)
    gc.disable()
    try:
        try:
            next(relay)
        except RuntimeError as error:
            told = str(error)
        assert told == "out of memory" and held[0]() is None
    finally:
        gc.enable()
