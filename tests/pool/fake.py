"""A replica process that is played by the test: real frames and protocol, no process and no clock."""

import asyncio
from collections.abc import Sequence

import msgspec

from repl.messages import Capabilities, Request
from repl.pool.plan import ReplicaPlan
from repl.pool.transport import HEADER, FrameProtocol, ProtocolFactory, frame
from repl.pool.wire import Cancel, FromChild, Load, Ready, Shutdown, ToChild

_decoder = msgspec.msgpack.Decoder(ToChild)


class _Wire(asyncio.Transport):
    """Takes what the parent writes apart into messages again."""

    def __init__(self, played: "Played") -> None:
        super().__init__()
        self._played = played

    def write(self, data: bytes | bytearray | memoryview) -> None:
        (length,) = HEADER.unpack(bytes(data[: HEADER.size]))
        assert len(data) == HEADER.size + length
        self._played.hear(_decoder.decode(bytes(data[HEADER.size :])))

    def is_closing(self) -> bool:
        return self._played.dead

    def abort(self) -> None:
        self._played.die()


class Played:
    """One process; ``running`` is what it was given and has not ended."""

    def __init__(self, plan: ReplicaPlan, connect: ProtocolFactory, pid: int) -> None:
        self.plan = plan
        self.pid = pid
        self.dead = False
        self.ready = False
        self.running: dict[int, Request] = {}
        self.sent: dict[int, int] = {}
        """Steps sent for each running request."""
        self.started: set[int] = set()
        self.cancelled: set[int] = set()
        self.connection: FrameProtocol = connect()
        self.connection.connection_made(_Wire(self))

    def hear(self, message: ToChild) -> None:
        if isinstance(message, Request):
            assert self.ready and message.id not in self.running
            self.running[message.id] = message
            self.sent[message.id] = 0
        elif isinstance(message, Cancel):
            self.cancelled.add(message.id)
        elif isinstance(message, Shutdown):
            self.die()
        else:
            assert isinstance(message, Load)

    def say(self, *messages: FromChild) -> None:
        data = frame(list(messages))
        while data and not self.dead:
            room = self.connection.get_buffer(-1)
            part = data[: len(room)]
            room[: len(part)] = part
            self.connection.buffer_updated(len(part))
            data = data[len(part) :]

    def become_ready(self, slots: int) -> None:
        self.ready = True
        self.say(Ready(capabilities=Capabilities(kind="echo", slots=slots, resumes=True)))

    def die(self) -> None:
        if not self.dead:
            self.dead = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def kill(self) -> None:
        self.die()

    async def wait(self, within: float | None = None) -> int | None:
        return -9 if self.dead else None

    def last_words(self) -> list[str]:
        return []


class Stage:
    """A launcher, and all the processes it launched."""

    def __init__(self) -> None:
        self.processes: list[Played] = []
        self.launched = asyncio.Event()

    async def launch(self, plan: ReplicaPlan, connect: ProtocolFactory) -> Played:
        played = Played(plan, connect, pid=1000 + len(self.processes))
        self.processes.append(played)
        self.launched.set()
        return played

    @property
    def living(self) -> Sequence[Played]:
        return [p for p in self.processes if not p.dead]
