"""The main of a follower: holds a shard of the model and repeats what the leader does.

Started by ``backends.hf.group`` as ``python -m backends.hf.follower FD LEADER_PID``.
"""

import ctypes
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection

import msgspec


def main() -> None:
    """Entry point of the process."""
    fd, leader = int(sys.argv[1]), int(sys.argv[2])
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != leader:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(fd)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, inbox), name="reader", daemon=True).start()

    import torch

    from backends.hf import group
    from backends.hf.load import shard

    order = msgspec.msgpack.decode(inbox.get(), type=group.Order)
    ranks = group.Ranks(shard(order))
    decode = msgspec.msgpack.Decoder(group.Operation).decode
    with torch.inference_mode():
        while True:
            ranks.do(decode(inbox.get()))


def _read(connection: Connection, inbox: "queue.SimpleQueue[bytes]") -> None:
    """Reader thread. The end of the connection ends the process, even in the middle of a collective."""
    try:
        while True:
            inbox.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
