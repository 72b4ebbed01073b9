"""Imports classic fairseq 0.12.2 on today's Python, numpy, torch and hydra.

``load()`` is called before anything else imports fairseq. It changes nothing outside fairseq's own modules
that outlasts the call. Each mend names the breakage it is for; all of them are upstream's, which is archived.

The module is also a launcher for fairseq's own tools, which need the same mends::

    python -m backends.fairseq.compat fairseq_cli.train:cli_main DATA --arch transformer ...
"""

import dataclasses
import importlib
import logging
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from backends.fairseq import safe_load

_lock = threading.Lock()
_mended = False


def load() -> types.ModuleType:
    """The module ``fairseq``, mended; ``ImportError`` where it or a package it needs is not installed."""
    global _mended
    with _lock:
        if not _mended:
            with _logging_kept(), _hashable_configurations(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fairseq's syntax and its use of hydra
                importlib.import_module("fairseq")
            _mend_numpy()
            _mend_torch()
            _mend_checkpoints()
            _mended = True
        _mend_eval()
    return sys.modules["fairseq"]


def launch(arguments: Sequence[str]) -> None:
    """Run ``MODULE:FUNCTION`` of fairseq as a command with the remaining arguments."""
    if not arguments or ":" not in arguments[0]:
        raise SystemExit("usage: python -m backends.fairseq.compat MODULE:FUNCTION [ARGUMENT ...]")
    warnings.filterwarnings("ignore", module="hydra")
    load()
    module, _, function = arguments[0].partition(":")
    command = getattr(importlib.import_module(module), function)
    _mend_eval()
    sys.argv = [module, *arguments[1:]]
    command()


class _View(types.ModuleType):
    """A module as one fairseq module sees it: some names replaced, all others its own."""

    def __init__(self, real: types.ModuleType, **names: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(names, _real=real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Importing fairseq calls ``logging.basicConfig``, which would print on the terminal from then on.

    With a handler in place the call does nothing (``tasks/text_to_speech.py``).
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.addHandler(logging.NullHandler())
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _hashable_configurations() -> Iterator[None]:
    """Python 3.11 refuses dataclass defaults without a hash (``common: CommonConfig = CommonConfig()``).

    fairseq's configuration classes get an identity hash while they are made. A ``default_factory`` instead
    would break ``hydra_init``, which reads ``Field.default``. Upstream issue 5012.
    """
    make = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(cls: type) -> Any:
            if cls.__module__.startswith("fairseq.") and not options.get("frozen"):
                _give_hash(cls)
            made: Any = make(cls, **options)
            if made.__name__ == "FairseqDataclass":
                made.__init_subclass__ = classmethod(_give_hash)  # plug-ins derive later
            return made

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = make


def _give_hash(cls: Any) -> None:
    if "__hash__" not in vars(cls):
        cls.__hash__ = object.__hash__


def _mend_numpy() -> None:
    """``np.int`` and ``np.float`` went in numpy 1.24, ``np.compat`` in 2.0 (upstream issue 4945)."""
    import numpy as np

    view = _View(np, int=int, float=float, compat=types.SimpleNamespace(long=int))
    for name in (
        "fairseq.data.data_utils",
        "fairseq.data.language_pair_dataset",
        "fairseq.data.token_block_dataset",
        "fairseq.modules.dynamic_crf_layer",
    ):
        vars(importlib.import_module(name))["np"] = view


def _mend_torch() -> None:
    """Two modules take a fast path from torch 1.12 on that dies on padded batches.

    "RuntimeError: Mask Type should be defined", upstream issue 4858; they also fail to parse versions such as
    ``2.13.0a0``. Told of an older torch they leave the path alone.
    """
    import torch

    view = _View(torch, __version__="1.11.0")
    for name in ("fairseq.modules.transformer_layer", "fairseq.models.transformer.transformer_encoder"):
        vars(importlib.import_module(name))["torch"] = view


def _mend_checkpoints() -> None:
    """``torch.load`` of checkpoints needs classes that torch 2.6 no longer unpickles by default.

    ``safe_load`` allows these classes and nothing else (upstream issues 5603 and 5610).
    """
    import torch

    vars(importlib.import_module("fairseq.checkpoint_utils"))["torch"] = _View(torch, load=safe_load.read)


def _mend_eval() -> None:
    """fairseq evaluates strings out of a checkpoint's arguments: ``fconv.py:123``, ``utils.py:791`` and more.

    Its modules see an ``eval`` that takes literals only. Called again for modules imported since.
    """
    evaluate: Callable[..., Any] = safe_load.literal
    for name, module in list(sys.modules.items()):
        if module is not None and name.partition(".")[0] in ("fairseq", "fairseq_cli"):
            vars(module)["eval"] = evaluate


if __name__ == "__main__":
    from backends.fairseq.compat import launch as _launch  # the one copy whose mends count

    _launch(sys.argv[1:])
