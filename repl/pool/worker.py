"""The main of a replica process: loads one model and serves requests until its parent goes.

Started by ``repl.pool.local`` as ``python -m repl.pool.worker FD PARENT_PID TITLE``. Of its three threads the
reader takes frames off the socket, the heartbeat tells that it lives, the main thread alone uses the engine.
"""

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial

from backends import registry
from backends.base import Engine, Preparing
from repl.messages import Event, Request
from repl.pool import title
from repl.pool.driver import Driver, describe
from repl.pool.memory import used
from repl.pool.transport import Channel
from repl.pool.wire import Cancel, Changed, Heartbeat, Load, LoadFailed, Loading, Ready, Shutdown, ToChild

HEARTBEAT = 1.0
"""Seconds between two signs of life."""


def die_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) to kill this process when its parent ends, even by SIGKILL."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def read(channel: Channel, inbox: "queue.SimpleQueue[ToChild | None]") -> None:
    """Reader thread. The end of the connection ends the process, whatever the engine is doing."""
    try:
        while (message := channel.receive()) is not None:
            inbox.put(message)
    finally:
        os._exit(0)


def beat(channel: Channel, device: str, driver: Driver) -> None:
    """Heartbeat thread."""
    pause = threading.Event()
    while not pause.wait(HEARTBEAT):
        channel.send([Heartbeat(steps=driver.steps, memory=used(device))])


def load(channel: Channel, order: Load) -> Engine | None:
    """The engine, or None after the parent was told why there is none."""

    def progress(stage: str, fraction: float | None = None) -> None:
        channel.send([Loading(stage=stage, fraction=fraction)])

    try:
        backend = registry.find(order.model.backend)
        return backend.load(order.model, order.device, order.threads, progress)
    except Exception as error:
        channel.send([LoadFailed(error=describe(error))])
        return None


def serve(channel: Channel, inbox: "queue.SimpleQueue[ToChild | None]", driver: Driver) -> None:
    """Run requests until told to shut down: wait while idle, else take only what is already there.

    ``None`` in the inbox asks for a step though nothing may run.
    """

    told = driver.capabilities

    def report(events: Sequence[Event]) -> None:
        if events:
            channel.send(events)

    while True:
        while not driver.busy or not inbox.empty():
            message = inbox.get()
            if isinstance(message, Request):
                report(driver.admit(message))
            elif isinstance(message, Cancel):
                report(driver.cancel(message.id))
            elif isinstance(message, Shutdown):
                return
            elif not driver.busy:
                break
        report(driver.step())
        if driver.capabilities is not told:
            told = driver.capabilities
            channel.send([Changed(capabilities=told)])


def main() -> None:
    """Entry point of the process."""
    run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])


def run(fd: int, parent: int, name: str) -> None:
    """Be a replica at the other end of the socket ``fd``; does not return."""
    title.show(name)
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=fd))
    inbox: queue.SimpleQueue[ToChild | None] = queue.SimpleQueue()
    threading.Thread(target=read, args=(channel, inbox), name="reader", daemon=True).start()
    order = inbox.get()
    if not isinstance(order, Load):
        raise SystemExit(f"expected a Load message first, got {type(order).__name__}")
    if order.cores:
        os.sched_setaffinity(0, order.cores)
    engine = load(channel, order)
    if engine is not None:
        driver = Driver(engine)
        channel.send([Ready(capabilities=engine.capabilities), Heartbeat(steps=0, memory=used(order.device))])
        threading.Thread(
            target=beat, args=(channel, order.device, driver), name="heartbeat", daemon=True
        ).start()
        if isinstance(engine, Preparing):
            engine.attend(partial(inbox.put, None))
        serve(channel, inbox, driver)
    sys.stderr.flush()
    os._exit(0)  # no engine's clean-up may keep a device busy


if __name__ == "__main__":
    main()
