"""Reads fairseq checkpoints as data, never as code.

A pickle may call any function, and fairseq evaluates some strings out of a checkpoint's arguments as
Python. Here a checkpoint is read with torch's ``weights_only`` unpickler, which builds nothing but the
classes in ``allowed_globals``, and its strings go through ``literal``. ``compat`` puts both in the place of
``torch.load`` and ``eval`` in fairseq's own modules. A file the user has named as trusted is read as fairseq
itself would.
"""

import argparse
import ast
import hashlib
import importlib
import os
import pickle
import re
import typing
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

from backends.faults import first_line, is_out_of_memory

_trusting: ContextVar[bool] = ContextVar("fairseq checkpoint trusted", default=False)

_mapping: ContextVar[bool] = ContextVar("fairseq checkpoint mapped", default=False)

_NO_PICKLE = "its contents cannot be unpickled"

_LONGEST_REPEAT = 4096
"""Bound on ``[...] * n`` in a checkpoint's arguments."""


class NotACheckpoint(Exception):
    """The file cannot be read, or holds something else; the message says which."""


class UnsafeGlobal(Exception):
    """The file asks for a function or class that a fairseq checkpoint has no need of."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for '{name}'")
        self.name = name


class NotALiteral(ValueError):
    """A string in the checkpoint's arguments that is code rather than a number, tuple, list or dict."""


@contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """Within this context checkpoints may run code when loaded, if ``trusted``."""
    token = _trusting.set(trusted)
    try:
        yield
    finally:
        _trusting.reset(token)


@contextmanager
def mapping(mapped: bool) -> Iterator[None]:
    """Within this context a checkpoint's weights, if ``mapped``, come from the disk when they are looked at.

    That takes the format torch writes since 1.6; older files are read whole.
    """
    token = _mapping.set(mapped)
    try:
        yield
    finally:
        _mapping.reset(token)


def sha256(path: Path) -> str:
    """``sha256:...`` of the whole file, the form in which a configuration names a trusted file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def is_trusted(marks: Iterable[str], path: Path) -> bool:
    """Whether the user has named this very file as trusted."""
    hashes = [mark for mark in marks if mark.startswith("sha256:")]
    return bool(hashes) and sha256(path) in hashes


def read(file: BinaryIO | str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The state of a checkpoint; takes what ``torch.load`` takes.

    Raises ``UnsafeGlobal`` or ``NotACheckpoint``; ``OSError`` passes.
    """
    import torch

    trusted = _trusting.get()
    if _refuse_inflating(file) and _mapping.get():
        file, kwargs = file if isinstance(file, str) else file.name, {**kwargs, "mmap": True}
    try:
        with torch.serialization.safe_globals(allowed_globals()):
            state = torch.load(file, *args, **{**kwargs, "weights_only": not trusted})
    except pickle.UnpicklingError as error:
        if unsafe := re.search(r"GLOBAL (\S+) (was not an allowed global|whose module)", str(error)):
            raise UnsafeGlobal(unsafe[1]) from None
        # torch's message is long and advises to load the file with less care.
        reason = re.search(r"WeightsUnpickler error: (.+)", str(error))
        raise NotACheckpoint(reason[1] if reason else _NO_PICKLE) from None
    except (EOFError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise NotACheckpoint(first_line(error)) from None
    except (LookupError, TypeError, AttributeError):  # they speak of the unpickler's own tables
        raise NotACheckpoint(_NO_PICKLE) from None
    if not isinstance(state, dict) or "model" not in state:
        raise NotACheckpoint("it holds no 'model'")
    if state.get("args") is None and state.get("cfg") is None:
        raise NotACheckpoint("it holds weights but neither 'args' nor 'cfg', which say what to build")
    drop_copied_weights(state["model"])
    _refuse_hollow(state["model"])
    return state


def allowed_globals() -> list[Any]:
    """What fairseq's own checkpoints need, and no more: plain holders of data.

    ``args``- and ``cfg``-style checkpoints: ``Namespace``; unstripped ones: numpy arrays and meters;
    pickled configurations: omegaconf's containers and nodes.
    """
    import numpy as np
    from fairseq.data.dictionary import Dictionary
    from omegaconf import base, dictconfig, listconfig, nodes

    allowed: list[Any] = [argparse.Namespace, Dictionary, typing.Any, np.ndarray, np.dtype]
    allowed += [base.ContainerMetadata, base.Metadata, dictconfig.DictConfig, listconfig.ListConfig]
    allowed += [nodes.AnyNode, nodes.StringNode, nodes.IntegerNode, nodes.FloatNode, nodes.BooleanNode]
    allowed.append(nodes.EnumNode)
    allowed += [type(np.dtype(kind)) for kind in ("int64", "int32", "float64", "float32", "bool")]
    allowed += [(kind, f"builtins.{kind.__name__}") for kind in (dict, list, int)]
    # A plain dict takes the items that torch's unpickler will not put into a defaultdict.
    allowed.append((_empty_dict, "collections.defaultdict"))
    multiarray = importlib.import_module("numpy._core.multiarray")
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # written by numpy 1 and 2
        allowed += [(getattr(multiarray, name), f"{module}.{name}") for name in ("_reconstruct", "scalar")]
    for module in ("fairseq.meters", "fairseq.logging.meters"):
        names = ("AverageMeter", "TimeMeter", "StopwatchMeter", "MetersDict")
        allowed += [(_Meter, f"{module}.{name}") for name in names]
    return allowed


def literal(source: Any, *_scopes: Any) -> Any:
    """Stands in for ``eval``: the value of a literal such as ``'[(512, 3)] * 20'`` or ``'(0.9, 0.98)'``.

    Numbers, strings, tuples, lists and dicts, the sum and difference of two of them and a sequence times a
    number; ``NotALiteral`` for all else. Code of a trusted file is evaluated as fairseq would.
    """
    if _trusting.get():
        return eval(source)  # noqa: S307 (the user named this file as trusted)
    if not isinstance(source, str):
        return source
    try:
        return _value(ast.parse(source.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise NotALiteral(f"{source[:80]!r} is not a plain value") from None


def drop_copied_weights(weights: dict[str, Any]) -> None:
    """Remove the second copy of every encoder layer's weights.

    fairseq 0.12.0 to 0.12.2 saves them twice, for a fast path; earlier and later versions refuse the copies,
    and 0.12.2 makes them itself when it loads.
    """
    parts = ("in_proj", "out_proj", "fc1", "fc2")
    copies = [f"{part}_{kind}" for part in parts for kind in ("weight", "bias")]
    for key in list(weights):
        layer, _, last = key.rpartition(".")
        if last in copies and f"{layer}.self_attn.q_proj.weight" in weights:
            del weights[key]


def _refuse_inflating(file: BinaryIO | str) -> bool:
    """Refuse an archive that unpacks to more than it is; torch writes its parts as they are.

    Returns whether it is an archive: torch wrote none before 1.6.
    """
    archived = True
    try:
        with zipfile.ZipFile(file) as archive:
            held = sum(part.file_size for part in archive.infolist())
            packed = any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
    except zipfile.BadZipFile:  # the format before torch 1.6, or no checkpoint at all
        held, packed, archived = 0, False, False
    finally:
        if not isinstance(file, str):
            file.seek(0)
    size = Path(file).stat().st_size if isinstance(file, str) else os.fstat(file.fileno()).st_size
    if packed or held > size:
        raise NotACheckpoint("it is packed and would unpack to more than it is, which torch never writes")
    return archived


def _refuse_hollow(weights: dict[str, Any]) -> None:
    """Refuse a tensor whose shape is larger than its data: nothing in the file, all of the memory."""
    import torch

    for name, weight in weights.items():
        if not isinstance(weight, torch.Tensor):
            raise NotACheckpoint(f"its weight '{name}' is not a tensor")
        if weight.numel() * weight.element_size() > weight.untyped_storage().nbytes():
            raise NotACheckpoint(f"its weight '{name}' claims to be larger than its data")


class _Meter:
    """Takes the place of a training meter; its figures are of no use here."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass


def _empty_dict(*_args: Any) -> dict[Any, Any]:
    return {}


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple():
            return tuple(_value(item) for item in node.elts)
        case ast.List():
            return [_value(item) for item in node.elts]
        case ast.Dict():
            return dict(zip(map(_value, filter(None, node.keys)), map(_value, node.values), strict=True))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
        case ast.BinOp(op=ast.Add()):
            return _value(node.left) + _value(node.right)
        case ast.BinOp(op=ast.Sub()):
            return _value(node.left) - _value(node.right)
        case ast.BinOp(op=ast.Mult()):
            return _repeated(_value(node.left), _value(node.right))
    raise ValueError


def _repeated(left: Any, right: Any) -> Any:
    """The product, where its size is bounded."""
    if isinstance(left, int) and not isinstance(right, int):
        left, right = right, left
    if isinstance(left, list | tuple) and isinstance(right, int) and len(left) * right <= _LONGEST_REPEAT:
        return left * right
    raise ValueError
