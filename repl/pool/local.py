"""Replicas as processes of this machine: started by exec, talking over an inherited socket pair."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from repl import nvml
from repl.pool.output import Output
from repl.pool.plan import ReplicaPlan
from repl.pool.transport import FrameProtocol, ProtocolFactory


class Running(Protocol):
    """A process of this machine, however it was started."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def kill(self) -> None:
        """End it now; harmless when it is gone."""
        ...

    async def status(self, within: float | None) -> int | None:
        """Exit status (negative: the signal that ended it), or None if it still runs after ``within`` s."""
        ...


class LocalProcess:
    """A running replica process, its connection, and the last it wrote; see ``Process``."""

    def __init__(self, process: Running, connection: FrameProtocol, output: Output) -> None:
        self.connection = connection
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End it now; harmless when it is gone."""
        self._process.kill()

    async def wait(self, within: float | None = None) -> int | None:
        """Exit status (negative: the signal that ended it), or None if it still runs after ``within`` s."""
        status = await self._process.status(within)
        if status is not None:
            await self._output.settle()
        return status

    def last_words(self) -> list[str]:
        """The last lines it wrote to stdout or stderr."""
        return self._output.lines


class _Executed(subprocess.Popen[bytes]):
    """A process started by exec."""

    async def status(self, within: float | None) -> int | None:
        """See ``Running``."""
        try:
            return await asyncio.to_thread(self.wait, within)
        except subprocess.TimeoutExpired:
            return None


class Ends(NamedTuple):
    """What joins a replica and its parent: two ends of a socket pair, and of the pipe for its output."""

    ours: socket.socket
    theirs: socket.socket
    read_end: int
    write_end: int


@contextlib.contextmanager
def ends() -> Iterator[Ends]:
    """The replica's ends are closed in this process afterwards; ours, too, where it could not be started."""
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    try:
        yield Ends(ours, theirs, read_end, write_end)
    except BaseException:
        ours.close()
        os.close(read_end)
        raise
    finally:
        theirs.close()
        os.close(write_end)


SPEECH = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Makes what a process writes come at once, whatever it is; read when Python starts."""


LAUNCHERS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
)
"""What torchrun and its like tell their own processes: a replica is none of the job we may be in."""
BINDINGS = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Would bind the threads of all replicas to the same cores, as modules of clusters set them."""


def environment(plan: ReplicaPlan) -> dict[str, str]:
    """The child's environment: its own devices alone, its share of threads, set before torch is imported."""
    env = {name: value for name, value in os.environ.items() if name not in (*LAUNCHERS, *BINDINGS)}
    words = nvml.words()
    own = [int(d.partition(":")[2] or 0) for d in plan.device.split("+") if d.startswith("cuda")]
    env["CUDA_VISIBLE_DEVICES"] = ",".join(words[n] if n < len(words) else str(n) for n in own)
    env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the plan's numbers are NVML's
    threads = str(plan.threads)
    env.update(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    env.update(TOKENIZERS_PARALLELISM="false", **SPEECH)
    return env


# -P: the current folder must not shadow installed modules.
WORKER = ("-P", "-m", "repl.pool.worker")


async def launch(
    plan: ReplicaPlan, connect: ProtocolFactory, program: Sequence[str] = WORKER
) -> LocalProcess:
    """Start the process of ``plan``: Python with the arguments of ``program``, a socket's number, our pid and
    the plan's title.

    Raises ``OSError`` when the system refuses.
    """
    with ends() as (ours, theirs, read_end, write_end):
        # A session of its own: Ctrl-C in the terminal is for the front end, which decides what to stop.
        process = _Executed(
            [sys.executable, *program, str(theirs.fileno()), str(os.getpid()), plan.title],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            pass_fds=[theirs.fileno()],
            env=environment(plan),
            start_new_session=True,
        )
    try:
        return LocalProcess(process, *await attach(ours, read_end, connect))
    except BaseException:  # cancelled half-way: leave no process behind
        process.kill()
        process.wait()
        raise


async def attach(
    ours: socket.socket, read_end: int, connect: ProtocolFactory
) -> tuple[FrameProtocol, Output]:
    """Put the event loop at our end of a replica's socket and of its output pipe."""
    ours.setblocking(False)
    _, connection = await asyncio.get_running_loop().create_connection(connect, sock=ours)
    output = Output()
    await output.listen(read_end)
    return connection, output
