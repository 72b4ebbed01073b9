"""A GPU that is not there: tensors that say they are on ``cuda:0`` and compute on the CPU.

torch's own front, Python and C++, runs as it would for a GPU; each operation then comes to ``Card`` with what
it is done to. It enforces what CUDA does: tensors of two devices do not mix, numpy gets nothing. It counts
where the host waits for the device: a copy from ordinary memory is such a place, one from pinned need not be.
"""

import ctypes
import warnings
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest import mock
from weakref import WeakValueDictionary, finalize

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
REAL = torch.cuda.is_available()
"""There is a GPU, on which these tests run then."""
CARDS = 2
DEVICE = torch.device("cuda:0")
"""The one that is used where nobody says which."""
FREE = 8 << 30
"""Bytes of memory that are said to be free on each."""

_CUDA, _META = 1, 14
"""Of c10's ``DeviceType``."""
_INDEXES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
_SOFTMAXES = {aten._softmax.default, aten._log_softmax.default}
_READS = {
    aten._local_scalar_dense.default,
    aten._unique2.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
}
"""They say a number, or make a tensor whose size is not known before."""


class Held(torch.Tensor):
    """Is said to be on a card; ``inside`` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __new__(cls, inside, device=DEVICE):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inside.size(),
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=device,
        )
        made.inside = inside
        return made

    def __repr__(self):
        return f"Held({self.inside!r})"

    def tolist(self):
        return self.cpu().tolist()

    def data_ptr(self):
        return self.inside.data_ptr()

    def new_tensor(self, data, *, dtype=None):
        return torch.tensor(data, dtype=dtype or self.dtype, device=self.device)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} after the card was taken away")


class Card(TorchDispatchMode):
    """The device; ``waits`` counts, by what for, how often the host waited for it."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()
        self.graph = None
        """Records what is done; see ``pretended_graphs``."""
        self.limit = None
        """Bytes that it holds at most of what is made from now on; None to keep no account."""
        self.used = 0
        self._owners = Counter()
        self._pinned = WeakValueDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (aten.pin_memory.default, aten._pin_memory.default):
            return self._pin(args[0])
        if function is aten.is_pinned.default:
            return self._is_pinned(args[0])
        if _is_made_of_others(function):  # which in inference mode come whole
            with self:
                return function.decompose(*args, **kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        ours = [one for one in tensors if isinstance(one, Held)]
        there = ours[0].device if ours else None
        if kwargs.get("device") is not None:
            there = _card(kwargs["device"])
            kwargs["device"] = torch.device("cpu")
        if function is aten._to_copy.default:
            self._copy(args[0], there, kwargs.pop("non_blocking", False))
        elif function is aten.copy_.default:
            there = args[0].device if isinstance(args[0], Held) else None
            self._copy(args[1], there, args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        elif ours:
            self._check(function, args, tensors)
        inner = _each(_inside, args), {name: _each(_inside, value) for name, value in kwargs.items()}
        found = _computed(function, *inner)
        if there is None or function in (aten._local_scalar_dense.default, aten.equal.default):
            return found
        if self.graph is not None:
            self.graph.record(function, *inner, found)
        known = {id(one.inside): one for one in ours if one.device == there}
        # What looks into a weight is a weight, in inference mode too.
        weight = function.is_view and not all(one.is_inference() for one in ours)
        with torch.inference_mode(torch.is_inference_mode_enabled() and not weight):
            return _each(lambda one: known[id(one)] if id(one) in known else self._held(one, there), found)

    def _check(self, function, args, tensors):
        """Whether CUDA does that, and whether the host has to wait for it."""
        strangers = [one for one in tensors if not isinstance(one, Held)]
        apart = len({one.device for one in tensors if isinstance(one, Held)}) > 1
        waits = [str(function)] if function in _READS else []
        if function in _INDEXES and not apart:
            masked = any(one is not None and one.dtype == torch.bool for one in args[1])
            if not (masked and len(args) > 2 and not isinstance(args[2], Held)):  # a fill otherwise
                waits += ["a mask as an index"] * masked + ["an index of the host"] * len(strangers)
        elif any(one.dim() for one in strangers) or (strangers and function is aten.cat.default) or apart:
            shapes = [(str(one.device), tuple(one.shape)) for one in tensors]
            raise RuntimeError(f"{function}: expected all tensors to be on the same device: {shapes}")
        elif function is aten.where.self:
            waits += ["a number of the host"] * len(strangers)
        for wait in waits:
            self._wait(wait)

    def _held(self, one, device):
        if not isinstance(one, torch.Tensor):
            return one
        made = Held(one, device)
        if self.limit is not None:
            self._account(made, one.untyped_storage())
        return made

    def _account(self, made, storage):
        """Count the memory of ``made`` for as long as anything lies in it."""
        place, size = storage.data_ptr(), storage.nbytes()
        if not self._owners[place]:
            if self.used + size > self.limit:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
            self.used += size
        self._owners[place] += 1
        finalize(made, self._release, place, size).atexit = False

    def _release(self, place, size):
        self._owners[place] -= 1
        if not self._owners[place]:
            self.used -= size

    def _wait(self, what):
        if self.graph is not None:
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing: {what}")
        self.waits[what] += 1

    def _pin(self, source):
        assert not isinstance(source, Held), "only memory of the host can be pinned"
        pinned = source.clone()
        self._pinned[id(pinned)] = pinned
        return pinned

    def _is_pinned(self, source):
        return self._pinned.get(id(source)) is source

    def _copy(self, source, to, non_blocking):
        if isinstance(source, Held) and to is None:
            self._wait("a copy to the host")
        elif (
            not isinstance(source, Held) and to is not None and not (non_blocking and self._is_pinned(source))
        ):
            self._wait("a copy to the card")


@cache
def _is_made_of_others(function):
    return function._can_decompose()


def _computed(function, args, kwargs):
    """What the CPU makes of it."""
    if function is aten.histc.default and not args[0].is_floating_point():  # a CPU cannot, CUDA can
        return function(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
    if function in _SOFTMAXES and args[2]:  # from half to float in one go
        return function(args[0].float(), args[1], False)
    return function(*args, **kwargs)


def _tensors(values):
    for one in values:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _each(change, value):
    if isinstance(value, list | tuple):
        return type(value)([_each(change, one) for one in value])
    return change(value)


def _inside(one):
    return one.inside if isinstance(one, Held) else one


def _card(device):
    """With its number; None for the host."""
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else None


@contextmanager
def _switching():
    """Lets torch switch to the device, which a build for CPUs alone refuses: by its own way to do nothing."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    before = guards[_CUDA]
    guards[_CUDA] = guards[_META]
    try:
        yield
    finally:
        guards[_CUDA] = before


class Real:
    """In the place of ``Card`` where there is a GPU."""

    def __init__(self):
        self.waits = Counter()

    def heard(self, message, category, *_, **__):
        """In the place of ``warnings.showwarning``."""
        if "synchronizing CUDA operation" in str(message):
            self.waits["a wait"] += 1


@contextmanager
def gpu():
    """A GPU, pretended where there is none; yields what counts the waits of the host."""
    if not REAL:
        with card() as pretended:
            yield pretended
        return
    real = Real()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = real.heard
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield real
        finally:
            torch.cuda.set_sync_debug_mode("default")


@contextmanager
def card():
    """Pretend that ``cuda:0`` is there; yields the ``Card``."""
    if torch.backends.cuda.is_built():
        pytest.skip("this torch would look for a real GPU; the others' tests do without")
    lifted = torch._C._only_lift_cpu_tensors()
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        for name, value in {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: CARDS,
            "current_device": lambda: 0,
            "get_device_capability": lambda device=None: (9, 0),
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "mem_get_info": lambda device=None: (FREE, 2 * FREE),
            "is_bf16_supported": lambda *_, **__: True,
        }.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(_switching())
        # A tensor made of a list is one of the host first, and then copied.
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifted)
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swapped)
        yield stack.enter_context(Card())
