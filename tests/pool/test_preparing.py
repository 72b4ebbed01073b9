"""An engine that prepares while it serves: it is stepped when it asks for it, and what it says is told."""

import queue
import socket
import struct
from collections.abc import Callable, Sequence

import msgspec

from backends.base import Preparing
from repl.messages import Capabilities, Event, Request
from repl.params import Params
from repl.pool import Coordinator, Limits
from repl.pool.driver import Driver
from repl.pool.transport import Channel
from repl.pool.wire import Changed, FromChild, Shutdown, ToChild
from repl.pool.worker import serve
from tests.pool.conftest import plans
from tests.pool.fake import Stage


class Kettle:
    """An engine that is ready after two steps."""

    def __init__(self) -> None:
        self.capabilities = Capabilities(kind="echo", slots=1, notes=("cold",))
        self.steps = 0
        self.wake: Callable[[], None] = lambda: None

    @property
    def preparing(self) -> bool:
        return self.steps < 2

    def attend(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        wake()

    def admit(self, request: Request) -> None: ...

    def cancel(self, request_id: int) -> None: ...

    def step(self) -> Sequence[Event]:
        self.steps += 1
        if self.steps == 2:
            self.capabilities = msgspec.structs.replace(self.capabilities, notes=("hot",))
        if self.preparing:
            self.wake()
        return ()


def heard(line: socket.socket) -> list[FromChild]:
    """All that was said until the other end closed."""
    told: list[FromChild] = []
    with line.makefile("rb") as stream:
        while header := stream.read(4):
            body = stream.read(struct.unpack("<I", header)[0])
            told += msgspec.msgpack.decode(body, type=list[FromChild])
    return told


def test_an_idle_engine_is_stepped_when_it_asks_for_it_and_its_words_are_passed_on() -> None:
    ours, theirs = socket.socketpair()
    inbox: queue.SimpleQueue[ToChild | None] = queue.SimpleQueue()
    kettle = Kettle()
    assert isinstance(kettle, Preparing)

    def wake() -> None:
        inbox.put(None)
        if kettle.steps:
            inbox.put(Shutdown())  # after the last step that it asks for

    kettle.attend(wake)
    serve(Channel(theirs), inbox, Driver(kettle))
    theirs.close()
    assert kettle.steps == 2
    assert heard(ours) == [Changed(capabilities=Capabilities(kind="echo", slots=1, notes=("hot",)))]
    ours.close()


def test_a_request_behind_such_a_call_is_not_kept_waiting() -> None:
    ours, theirs = socket.socketpair()
    inbox: queue.SimpleQueue[ToChild | None] = queue.SimpleQueue()
    kettle = Kettle()
    driver = Driver(kettle)
    taken: list[int] = []
    kettle.admit = lambda request: taken.append(kettle.steps)  # type: ignore[method-assign]
    for number in (1, 2):
        inbox.put(Request(id=number, model="k", prompt="", params=Params()))
        inbox.put(None)
    inbox.put(Shutdown())
    serve(Channel(theirs), inbox, driver)
    assert taken == [0, 0]
    ours.close()
    theirs.close()


async def test_what_is_said_later_is_what_is_shown() -> None:
    stage = Stage()
    async with Coordinator(plans(), limits=Limits(), launch=stage.launch) as pool:
        await stage.launched.wait()
        [process] = stage.processes
        process.become_ready(slots=2)
        told = Capabilities(kind="echo", slots=2, resumes=True, notes=("hot",))
        process.say(Changed(capabilities=told))
        [status] = pool.status()
        assert status.capabilities == told and status.state == "ready" and status.slots == 2
        process.die()
