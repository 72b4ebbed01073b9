"""Frames survive any cutting of the byte stream, and garbage ends the connection instead of the session."""

import asyncio
import itertools
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Finished, ModelSpec, Request, Started, Step
from repl.params import Params
from repl.pool.transport import HEADER, MAX_FRAME, Channel, FrameProtocol, frame
from repl.pool.wire import FromChild, Heartbeat, Load, ToChild

MESSAGES: list[FromChild] = [
    Heartbeat(steps=3, memory=1 << 33),
    Started(id=1, prompt_ids=(1, 2), prompt_text="é\x1b[31m", notes=("n",)),
    Step(id=1, index=0, token=7, piece=b"\xff\x00", text="", raw_lp=-0.5, top=((1, -0.1, b"x"),)),
    Finished(id=1, reason="stop", text="done"),
]


class Recorder:
    def __init__(self) -> None:
        self.messages: list[FromChild] = []
        self.gone = asyncio.Event()
        self.reason = ""

    def received(self, messages: Sequence[FromChild]) -> None:
        self.messages += messages

    def disconnected(self, reason: str) -> None:
        self.reason = reason
        self.gone.set()


def feed(protocol: FrameProtocol, data: bytes) -> None:
    """As the event loop does: as much at a time as there is room for."""
    while data:
        room = protocol.get_buffer(-1)
        assert len(room) > 0
        part = data[: len(room)]
        room[: len(part)] = part
        protocol.buffer_updated(len(part))
        data = data[len(part) :]


@given(st.lists(st.integers(0, 400), max_size=12), st.integers(0, 3))
def test_frames_arrive_whole_however_the_stream_is_cut(cuts: list[int], repeat: int) -> None:
    async def run() -> None:
        seen = Recorder()
        protocol = FrameProtocol(seen)
        data = frame(MESSAGES) * (repeat + 1) + frame([])
        edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
        for start, end in itertools.pairwise(edges):
            feed(protocol, data[start:end])
        assert seen.messages == MESSAGES * (repeat + 1)

    asyncio.run(run())


async def test_a_frame_larger_than_the_buffer_is_read() -> None:
    seen = Recorder()
    big: list[FromChild] = [Finished(id=1, reason="eos", text="x" * 1_000_000)]
    feed(FrameProtocol(seen), frame(big) * 2)
    assert seen.messages == big * 2


@pytest.mark.parametrize(
    "garbage",
    [
        HEADER.pack(MAX_FRAME + 1),
        HEADER.pack(4) + b"\xc1\xc1\xc1\xc1",
        frame([["Nothing", 1]]),
        frame({"not": "a list"}),
        HEADER.pack(0),
    ],
)
async def test_garbage_ends_the_connection_with_a_reason(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    seen = Recorder()
    await asyncio.get_running_loop().create_connection(lambda: FrameProtocol(seen), sock=ours)
    with theirs:
        theirs.sendall(frame(MESSAGES) + garbage)
        async with asyncio.timeout(10):
            await seen.gone.wait()
    assert seen.messages == MESSAGES
    assert "unreadable" in seen.reason


def test_the_child_reads_messages_and_sees_the_end() -> None:
    ours, theirs = socket.socketpair()
    sent: list[ToChild] = [
        Load(
            model=ModelSpec(name="m", backend="echo", path="p", options={"a": [1, "x"]}),
            device="cpu",
            threads=2,
        ),
        Request(id=4, model="m", prompt="text", params=Params(stop=("\n",), seed=2**63 - 1)),
    ]
    channel = Channel(theirs)
    for message in sent:
        ours.sendall(frame(message))
    assert [channel.receive(), channel.receive()] == sent
    ours.sendall(frame(sent[0])[:10])
    ours.close()
    assert channel.receive() is None
    channel.close()
