"""CUDA graphs of the pretended GPU: a replay does again what was recorded, to the same tensors, and no more.

Whatever Python decided while it was recorded stays as it was. To wait for the device meanwhile is refused, as
CUDA does.
"""

from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from unittest import mock

import torch

from tests.backends.hf.pretended import Real


class Graph:
    """In the place of ``torch.cuda.CUDAGraph``."""

    made = replays = 0
    """Of all together."""

    def __init__(self):
        Graph.made += 1
        self._done = []

    def record(self, function, args, kwargs, found):
        """``found`` is what ``function`` made of tensors of the card, and where a replay writes it."""
        self._done.append((function, args, kwargs, found))

    def replay(self):
        Graph.replays += 1
        for function, args, kwargs, found in self._done:
            if function.is_view:
                continue
            again = function(*args, **kwargs)
            if not function._schema.is_mutable:
                for place, value in zip(_tensors(found), _tensors(again), strict=True):
                    place.copy_(value)


class Stream:
    """In the place of ``torch.cuda.Stream``."""

    current = None

    def __init__(self, device=None):
        self.device_index = 0

    def wait_stream(self, other):
        assert isinstance(other, Stream)


@contextmanager
def _recording(card, graph, pool):
    assert pool == "pool" and card.graph is None and card.claimed is None
    card.graph, card.claimed = graph, pool
    usual, Stream.current = Stream.current, Stream()
    try:
        yield
    except Exception as error:
        if "not permitted" in str(error):  # then torch leaves all else as it is
            usual, card.graph = Stream.current, None
            text = "CUDA error: operation failed due to a previous error during capture"
            raise RuntimeError(text) from error
        card.claimed = None
        raise
    else:
        card.claimed = None
    finally:
        card.graph, Stream.current = None, usual


@contextmanager
def graphs(card):
    """Pretend that ``card`` has them; those of a real one are counted alone."""
    with ExitStack() as stack:
        if isinstance(card, Real):
            stack.enter_context(mock.patch.object(torch.cuda.CUDAGraph, "replay", _counted))
            yield
            return
        for name, value in {
            "CUDAGraph": Graph,
            "graph": partial(_recording, card),
            "graph_pool_handle": lambda: "pool",
            "Stream": Stream,
            "current_stream": lambda device=None: Stream.current,
            "set_stream": partial(setattr, Stream, "current"),
            "stream": lambda stream: nullcontext(),
            "device": lambda device: nullcontext(),
        }.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(Stream, "current", Stream()))
        card.claimed = None
        stack.enter_context(
            mock.patch.object(torch._C, "_cuda_endAllocateToPool", partial(_let_go, card), create=True)
        )
        yield


def _let_go(card, device, pool):
    assert (device, pool) == (0, card.claimed)
    card.claimed = None


_REPLAY = torch.cuda.CUDAGraph.replay


def _counted(graph):
    Graph.replays += 1
    _REPLAY(graph)


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    return [one for one in found if isinstance(one, torch.Tensor)] if isinstance(found, tuple | list) else []
