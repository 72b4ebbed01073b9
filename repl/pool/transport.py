"""Frames between the coordinator and a replica process: a 4-byte little-endian length, then msgpack.

The parent side is an asyncio protocol, the child side a blocking socket. Either end treats a frame it cannot
read as the end of the connection: a replica is replaced, never argued with.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import msgspec

from repl.pool.wire import FromChild, ToChild

HEADER = struct.Struct("<I")
MAX_FRAME = 64 << 20
"""Bytes. Far above any real step; a longer one is garbage."""

_encoder = msgspec.msgpack.Encoder()
_from_child = msgspec.msgpack.Decoder(list[FromChild])
_to_child = msgspec.msgpack.Decoder(ToChild)


class ProtocolError(Exception):
    """The other end sent something that is not a frame."""


def frame(payload: object) -> bytes:
    """One encoded frame."""
    body = _encoder.encode(payload)
    return HEADER.pack(len(body)) + body


class Peer(Protocol):
    """Who listens to a ``FrameProtocol``."""

    def received(self, messages: Sequence[FromChild]) -> None:
        """All messages of one frame."""
        ...

    def disconnected(self, reason: str) -> None:
        """No frame will come any more; called once."""
        ...


class FrameProtocol(asyncio.BufferedProtocol):
    """Parent side: cuts the byte stream into frames without copying it twice."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._buffer = memoryview(bytearray(1 << 16))
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._reason = "the process ended"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for ``send``."""
        self._transport = cast(asyncio.Transport, transport)  # libuv's is none by class

    def get_buffer(self, sizehint: int) -> memoryview:
        """Free room at the end of the buffer; never empty."""
        return self._buffer[self._filled :] if self._filled else self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on every complete frame and keep the rest."""
        self._filled += nbytes
        start = 0
        try:
            while self._filled - start >= HEADER.size:
                (length,) = HEADER.unpack_from(self._buffer, start)
                end = start + HEADER.size + length
                if end > self._filled:
                    self._make_room(length)
                    break
                messages = _from_child.decode(self._buffer[start + HEADER.size : end])
                start = end
                self._peer.received(messages)
        except (ProtocolError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._reason = f"unreadable data from the process: {error}"
            self.abort()
            return
        if start:
            rest = self._filled - start
            if rest:
                self._buffer[:rest] = self._buffer[start : self._filled]
            self._filled = rest

    def _make_room(self, length: int) -> None:
        """Let a frame of ``length`` bytes that is not all there fit."""
        if length > MAX_FRAME:
            raise ProtocolError(f"a frame of {length} bytes")
        if (needed := HEADER.size + length + 1) > len(self._buffer):
            grown = memoryview(bytearray(needed))
            grown[: self._filled] = self._buffer[: self._filled]
            self._buffer = grown

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the peer, once."""
        self._peer.disconnected(self._reason)

    def send(self, message: ToChild) -> None:
        """Queue a message; silently dropped when the connection is gone, since ``disconnected`` says so."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    def abort(self) -> None:
        """Drop the connection without flushing."""
        if self._transport is not None:
            self._transport.abort()


class Channel:
    """Child side: one thread receives, any thread sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._reader = connection.makefile("rb")

    def receive(self) -> ToChild | None:
        """The next message, or None when the parent is gone."""
        header = self._reader.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        (length,) = HEADER.unpack(header)
        body = self._reader.read(length)
        return _to_child.decode(body) if len(body) == length else None

    def send(self, messages: Sequence[FromChild]) -> None:
        """Send one frame; raises ``OSError`` when the parent is gone."""
        data = frame(list(messages))
        with self._lock:
            self._socket.sendall(data)

    def close(self) -> None:
        """End the connection."""
        self._reader.close()
        self._socket.close()


ProtocolFactory = Callable[[], FrameProtocol]
