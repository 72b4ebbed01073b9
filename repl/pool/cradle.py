"""A process that has the backends' libraries loaded and is forked into replicas, so that they start at once.

Started by ``repl.pool.nursery`` as ``python -m repl.pool.cradle FD PARENT_PID``. It imports what a backend
needs when the first replica wants it, never touches a device, starts no thread and does nothing but fork, so
that a forked child finds its libraries in a state as good as new.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import traceback

import msgspec

from backends import registry
from backends.base import Preloading
from repl.pool import worker


class Birth(msgspec.Struct, frozen=True, array_like=True):
    """A replica to be; its socket and the pipe for its output come along as descriptors."""

    backend: str
    environment: dict[str, str]
    title: str


class Born(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The latest replica asked for runs."""

    pid: int


class Died(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A replica ended; ``status`` is negative for the signal that ended it."""

    pid: int
    status: int


LONGEST = 1 << 20
"""Bytes of one message."""


def main() -> None:
    """Entry point of the process."""
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    worker.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = socket.socket(fileno=fd)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        ready, _, _ = select.select([line.fileno(), woken], (), ())
        if woken in ready:
            os.read(woken, 1 << 10)
            _bury(line)
        if line.fileno() in ready:
            frame, descriptors, _, _ = socket.recv_fds(line, LONGEST, 2)
            if not frame:
                os._exit(0)
            birth = msgspec.msgpack.decode(frame, type=Birth)
            if _bear(line, birth, *descriptors) == 0:
                os.close(woken)
                os.close(wake)
                _become(birth, *descriptors)


def _bear(line: socket.socket, birth: Birth, channel: int, output: int) -> int:
    """Fork: returns 0 in the child."""
    # What is missing or broken is the child's to explain, when it loads its model.
    with contextlib.suppress(Exception):
        backend = registry.find(birth.backend)
        if isinstance(backend, Preloading):
            backend.preload()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line.close()
        return pid
    os.close(channel)
    os.close(output)
    line.sendall(msgspec.msgpack.encode(Born(pid)))
    return pid


def _become(birth: Birth, channel: int, output: int) -> None:
    """Turn from a copy of the cradle into a replica; does not return."""
    cradle = os.getppid()
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(birth.environment)
        worker.run(channel, cradle, birth.title)
    except BaseException:  # its last words; Python's own would go on into the cradle's loop
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _bury(line: socket.socket) -> None:
    """Tell of every child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            line.sendall(msgspec.msgpack.encode(Died(pid, os.waitstatus_to_exitcode(status))))


if __name__ == "__main__":
    main()
