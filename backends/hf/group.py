"""One replica over several devices: tensor parallelism.

Each device has a process, a rank, with a shard of every matrix. Rank 0 is the replica's own process, the
leader: it alone has the engine and talks to the coordinator. The others, the followers, load the model by the
same steps and then repeat what the leader does to its rows. What to do goes through a socket, a few bytes for
each operation, so that an idle follower never waits in a collective that would time out; the numbers go over
torch.distributed (NCCL on GPUs, gloo on CPUs). transformers shards the weights by the model's own plan.

The ranks must agree, always. Where one cannot do what the others did, out of memory for one, the leader ends
the process, all follow, and the coordinator starts the replica anew.
"""

import datetime
import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import torch
from torch import Tensor, distributed

from backends import upload
from backends.base import BackendError
from backends.faults import end
from backends.hf.state.causal import CausalRows, Snapshot
from backends.hf.state.rows import Prompts
from repl.messages import ModelSpec

PATIENCE = datetime.timedelta(minutes=30)
"""For the slowest rank to load its shard."""

_FOLLOWER = (sys.executable, "-P", "-m", "backends.hf.follower")


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What a follower is started with."""

    spec: ModelSpec
    rank: int
    meeting: str
    """The file through which the ranks find each other, by a descriptor that all inherit."""
    device: str
    threads: int


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """Something done to rows; ``rows`` is their number, ``name`` a method of ``Ranks``."""

    rows: int
    name: str
    arguments: list[Any] = []


def check(spec: ModelSpec, config: Any, device: str) -> bool:
    """Whether the model is to be sharded; refuses what can be neither sharded nor spread."""
    if spec.gpus == 1:
        return False
    text = config.get_text_config(decoder=True)
    if not getattr(text, "base_model_tp_plan", None) or config.is_encoder_decoder:
        if device == "cpu":
            raise BackendError(
                "unsupported",
                f"model '{spec.name}': transformers has no tensor-parallel plan for {config.model_type}",
                "take gpus_per_replica out; on GPUs its layers would be spread over them",
            )
        return False
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    if heads % spec.gpus or text.num_attention_heads % spec.gpus:
        fit = [str(n) for n in range(1, heads + 1) if heads % n == 0]
        raise BackendError(
            "bad_parameter",
            f"model '{spec.name}': {heads} key-value heads cannot be shared by {spec.gpus} devices",
            f"gpus_per_replica can be {', '.join(fit)}",
        )
    return True


def meet(path: str, rank: int, size: int, device: str) -> None:
    """Join the other ranks; returns once all are there."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl",
        store=distributed.FileStore(path, size),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )


def agree(value: int | None) -> int | None:
    """The least of what the ranks say; None where they say nothing."""
    if value is None:
        return None
    least = torch.tensor([value], dtype=torch.int64)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least.item())


class Leader:
    """The followers, as rank 0 sees them."""

    def __init__(self, spec: ModelSpec, device: str, threads: int) -> None:
        """Start them; they load while this process does."""
        self._numbers = count()
        self._gone: deque[Operation] = deque()
        # Nameless, so that nothing is left of it however the group ends, and nobody else can join.
        meeting = tempfile.TemporaryFile()  # noqa: SIM115 - torch uses it as long as the group lives
        self._meeting = meeting
        path = f"/dev/fd/{meeting.fileno()}"
        self._followers = [
            self._start(Order(spec, rank, path, device, threads)) for rank in range(1, spec.gpus)
        ]
        meet(path, 0, spec.gpus, device)

    def tell(self, rows: int, name: str, *arguments: Any) -> None:
        """Have every follower do the same; what nobody needs any more goes first."""
        while self._gone:
            self._send(self._gone.popleft())
        self._send(Operation(rows, name, list(arguments)))

    def number(self, thing: object, gone: str) -> int:
        """A number for rows or what is kept of them; followers let go of it when ``thing`` goes."""
        number = next(self._numbers)
        # Not told at once: this may come in the middle of telling something else.
        weakref.finalize(thing, self._gone.append, Operation(number, gone)).atexit = False
        return number

    def rows(self, network: Any) -> Callable[[], CausalRows]:
        """Makes rows that the followers have too."""
        return lambda: LedRows(network, self)

    def _start(self, order: Order) -> Connection:
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [*_FOLLOWER, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), self._meeting.fileno()],
        )
        theirs.close()
        watch = threading.Thread(target=_watch, args=(process, order.rank), name="follower", daemon=True)
        watch.start()
        connection = Connection(ours.detach())
        connection.send_bytes(msgspec.msgpack.encode(order))
        return connection

    def _send(self, operation: Operation) -> None:
        frame = msgspec.msgpack.encode(operation)
        for follower in self._followers:
            try:
                follower.send_bytes(frame)
            except OSError as error:
                end(f"a follower cannot be told anything any more: {error}")


class _Kept:
    """Stands for what the followers keep of a text."""


class LedRows(CausalRows):
    """The leader's rows: each operation is done by all ranks."""

    def __init__(self, network: Any, leader: Leader) -> None:
        super().__init__(network)
        self._leader = leader
        self._number = leader.number(self, "drop")
        leader.tell(self._number, "make")

    def prefill(self, prompts: Prompts) -> Tensor:
        """See ``CausalRows``, as for all below."""
        return self._do("prefill", super().prefill, [list(prompt) for prompt in prompts])

    def read(self, tokens: Sequence[int]) -> Tensor:
        """In all ranks."""
        return self._do("read", super().read, list(tokens))

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """In all ranks."""
        return self._do("feed", super().feed, list(tokens))

    def decode(self, tokens: Tensor) -> Tensor:
        """In all ranks."""
        self._leader.tell(self._number, "decode", tokens.tolist())
        return _or_end(super().decode, tokens)

    def select(self, indices: Sequence[int]) -> None:
        """In all ranks."""
        self._do("select", super().select, list(indices))

    def join(self, other: CausalRows) -> None:
        """In all ranks."""
        assert isinstance(other, LedRows)
        self._leader.tell(self._number, "join", other._number)
        _or_end(super().join, other)

    def reserve(self, tokens: int) -> None:
        """In all ranks."""
        self._do("reserve", super().reserve, tokens)

    def snapshot(self, row: int) -> Snapshot:
        """In all ranks; the followers keep theirs as long as this one lives."""
        kept = _Kept()
        number = self._leader.number(kept, "forget")
        self._leader.tell(self._number, "snapshot", row, number)
        made: Snapshot = _or_end(super().snapshot, row)
        return made._replace(elsewhere=(number, kept))

    def restore(self, snapshot: Snapshot) -> None:
        """In all ranks."""
        assert isinstance(snapshot.elsewhere, tuple)
        number, _ = snapshot.elsewhere
        self._leader.tell(self._number, "restore", number, snapshot.length)
        _or_end(super().restore, snapshot)

    def crop(self, length: int) -> None:
        """In all ranks."""
        self._do("crop", super().crop, length)

    def _do(self, name: str, own: Callable[[Any], Any], argument: Any) -> Any:
        self._leader.tell(self._number, name, argument)
        return _or_end(own, argument)


class Ranks:
    """A follower's side: the same rows under the same numbers."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._rows: dict[int, CausalRows] = {}
        self._kept: dict[int, Snapshot] = {}

    def do(self, operation: Operation) -> None:
        """What the leader does at the same time."""
        number, name = operation.rows, operation.name
        match name, operation.arguments:
            case "make", []:
                self._rows[number] = CausalRows(self._network)
            case "drop", []:
                del self._rows[number]
            case "forget", []:
                self._kept.pop(number, None)
            case "decode", [tokens]:
                device = self._network.device
                self._rows[number].decode(upload.integers(tokens, device))
            case "join", [other]:
                self._rows[number].join(self._rows[other])
            case "snapshot", [row, kept]:
                self._kept[kept] = self._rows[number].snapshot(row)
            case "restore", [kept, length]:
                self._rows[number].restore(self._kept[kept].first(length))
            case (("prefill" | "read" | "feed" | "select" | "reserve" | "crop"), [argument]):
                getattr(self._rows[number], name)(argument)
            case _:
                raise ValueError(f"the leader asks for {name} {operation.arguments}")


def _or_end(own: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return own(argument)
    except Exception as error:  # the others may have done it, or wait for this rank for ever
        end(f"rank 0 cannot go on with its group: {type(error).__name__}: {error}")


def _watch(process: "subprocess.Popen[bytes]", rank: int) -> None:
    """Thread: the end of a follower is the end of all."""
    status = process.wait()
    end(f"rank {rank} of the group ended with status {status}")
