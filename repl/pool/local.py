"""Replicas as processes of this machine: started by exec, talking over an inherited socket pair."""

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from repl.pool.plan import ReplicaPlan
from repl.pool.transport import FrameProtocol, ProtocolFactory

KEPT_LINES = 100
LONGEST_LINE = 2000


class LocalProcess:
    """A running replica process, its connection, and the last it wrote to stderr."""

    def __init__(self, process: subprocess.Popen[bytes], connection: FrameProtocol) -> None:
        self._process = process
        self.connection = connection
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._collector: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End it now; harmless when it is gone."""
        self._process.kill()

    async def wait(self, within: float | None = None) -> int | None:
        """Exit status (negative: the signal that ended it), or None if it still runs after ``within`` s."""
        try:
            code = await asyncio.to_thread(self._process.wait, within)
        except subprocess.TimeoutExpired:
            return None
        if self._collector is not None:  # what it said last may still be in the pipe
            await asyncio.wait([self._collector], timeout=0.5)
        return code

    def last_words(self) -> list[str]:
        """The last lines it wrote to stdout or stderr."""
        return list(self._lines)

    def listen(self, pipe: asyncio.StreamReader) -> None:
        """Keep what the process writes, bounded in lines and length, until it ends."""
        self._collector = asyncio.create_task(self._collect(pipe))

    async def _collect(self, pipe: asyncio.StreamReader) -> None:
        tail = b""
        while chunk := await pipe.read(1 << 16):
            *lines, tail = (tail + chunk).split(b"\n")
            tail = tail[-LONGEST_LINE:]
            self._lines.extend(line[:LONGEST_LINE].decode(errors="replace").rstrip() for line in lines)
        if tail:
            self._lines.append(tail.decode(errors="replace"))


def environment(plan: ReplicaPlan) -> dict[str, str]:
    """The child's environment: its own devices alone, its share of threads, set before torch is imported."""
    env = dict(os.environ)
    visible = [d for d in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
    own = [int(d.partition(":")[2] or 0) for d in plan.device.split("+") if d.startswith("cuda")]
    env["CUDA_VISIBLE_DEVICES"] = ",".join(visible[n] if n < len(visible) else str(n) for n in own)
    threads = str(plan.threads)
    env.update(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    env.update(
        TOKENIZERS_PARALLELISM="false", PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8:backslashreplace"
    )
    return env


# -P: the current folder must not shadow installed modules.
WORKER = ("-P", "-m", "repl.pool.worker")


async def launch(
    plan: ReplicaPlan, connect: ProtocolFactory, program: Sequence[str] = WORKER
) -> LocalProcess:
    """Start the process of ``plan``: Python with the arguments of ``program``, a socket's number and our pid.

    Raises ``OSError`` when the system refuses.
    """
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    try:
        # A session of its own: Ctrl-C in the terminal is for the front end, which decides what to stop.
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - returns within milliseconds
            [sys.executable, *program, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            pass_fds=[theirs.fileno()],
            env=environment(plan),
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        os.close(read_end)
        raise
    finally:
        theirs.close()
        os.close(write_end)
    try:
        return await _attach(process, ours, read_end, connect)
    except BaseException:  # cancelled half-way: leave no process behind
        process.kill()
        process.wait()
        raise


async def _attach(
    process: subprocess.Popen[bytes], ours: socket.socket, read_end: int, connect: ProtocolFactory
) -> LocalProcess:
    """Put the event loop at our end of the socket and of the output pipe."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    _, connection = await loop.create_connection(connect, sock=ours)
    launched = LocalProcess(process, connection)
    reader = asyncio.StreamReader(limit=1 << 20)
    pipe = os.fdopen(read_end, "rb", 0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    launched.listen(reader)
    return launched
