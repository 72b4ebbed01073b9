"""Starts replicas by forking a process that has their libraries loaded already.

Importing torch and a backend's libraries takes seconds, a fork milliseconds: replicas of small models start
together as soon as one import is done, share its memory, and come back at once when they die. Forking is safe
as long as nothing has touched a device or started a thread, so this is for replicas on a CPU, on Linux, of
backends that say what to ``preload``; all others, and all when the nursery itself fails, are started by exec.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import Self

import msgspec

from backends import registry
from backends.base import Preloading
from repl.pool.cradle import LONGEST, Birth, Born, Died
from repl.pool.local import SPEECH, LocalProcess, attach, ends, environment, launch
from repl.pool.plan import ReplicaPlan
from repl.pool.process import Process
from repl.pool.transport import ProtocolFactory

CRADLE = ("-P", "-m", "repl.pool.cradle")


class _Birth:
    """A process that was asked for, from then to its end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.born: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[int] = loop.create_future()
        self.pid = 0
        self._handle = -1
        """A number may be given anew once the cradle has buried its process; this one cannot."""
        self._unwanted = False

    def live(self, pid: int) -> None:
        """It runs."""
        self.pid = pid
        with contextlib.suppress(OSError):  # dead and buried already; its end is told next
            self._handle = os.pidfd_open(pid)
        if not self.born.done():
            self.born.set_result(None)
        if self._unwanted:
            self.kill()

    def end(self, status: int) -> None:
        """It has ended, or will never be."""
        if not self._ended.done():
            self._ended.set_result(status)
        if not self.born.done():
            self.born.set_exception(ConnectionError("the cradle ended"))
            self.born.exception()  # whoever waited may have gone
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    async def status(self, within: float | None) -> int | None:
        """See ``Running``."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._ended), within)
        except TimeoutError:
            return None

    def kill(self) -> None:
        """End it now, or as soon as it runs."""
        self._unwanted = True
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):  # it is gone, and its end not yet told
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)


class Nursery:
    """The cradle, and the replicas that came from it. Use it as a context manager, round the pool."""

    def __init__(self) -> None:
        self._cradle: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._listener: asyncio.Task[None] | None = None
        self._asked: deque[_Birth] = deque()
        self._alive: dict[int, _Birth] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the cradle, and what is left of its replicas with it."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        self._end()

    async def launch(self, plan: ReplicaPlan, connect: ProtocolFactory) -> Process:
        """Start the process of ``plan``, by fork where that is safe; raises ``OSError``."""
        if not suits(plan):
            return await launch(plan, connect)
        try:
            return await self._fork(plan, connect)
        except OSError:  # out of descriptors, or a cradle that was killed: exec may still do
            return await launch(plan, connect)

    async def _fork(self, plan: ReplicaPlan, connect: ProtocolFactory) -> LocalProcess:
        line = self._line or self._begin()
        birth = _Birth()
        try:
            with ends() as (ours, theirs, read_end, write_end):
                frame = msgspec.msgpack.encode(Birth(plan.model.backend, environment(plan), plan.title))
                socket.send_fds(line, [frame], [theirs.fileno(), write_end])
                self._asked.append(birth)
                await birth.born
            return LocalProcess(birth, *await attach(ours, read_end, connect))
        except BaseException:
            birth.kill()
            raise

    def _begin(self) -> socket.socket:
        """Start the cradle."""
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        quiet = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false", **SPEECH}
        self._cradle = subprocess.Popen(
            [sys.executable, *CRADLE, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **one, **quiet},
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        self._line = ours
        self._listener = asyncio.create_task(self._listen(ours))
        return ours

    async def _listen(self, line: socket.socket) -> None:
        """Hear of births and deaths until the cradle ends."""
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(OSError):
                while frame := await loop.sock_recv(line, LONGEST):
                    self._hear(msgspec.msgpack.decode(frame, type=Born | Died))
        finally:
            self._end()  # cancelled, too: else who waits for a death would never hear of it

    def _hear(self, news: Born | Died) -> None:
        if isinstance(news, Born):
            self._alive[news.pid] = self._asked.popleft()
            self._alive[news.pid].live(news.pid)
        elif news.pid in self._alive:
            self._alive.pop(news.pid).end(news.status)

    def _end(self) -> None:
        """The cradle is gone, or to go: its children die with it."""
        if self._line is None or self._cradle is None:
            return
        self._line.close()
        self._cradle.kill()
        self._cradle.wait()
        self._line = self._cradle = self._listener = None
        for birth in (*self._asked, *self._alive.values()):
            birth.end(-signal.SIGKILL)
        self._asked.clear()
        self._alive.clear()


def suits(plan: ReplicaPlan) -> bool:
    """Whether the replica may be forked."""
    linux = sys.platform == "linux" and hasattr(os, "pidfd_open")
    alone = plan.device.startswith("cpu") and plan.model.gpus == 1
    return linux and alone and isinstance(registry.find(plan.model.backend), Preloading)
