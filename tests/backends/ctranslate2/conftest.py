"""Tiny checkpoints, converted once for all tests of this folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ctranslate2 = pytest.importorskip("ctranslate2")
torch = pytest.importorskip("torch")

Load = Callable[..., Any]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the conversions of all these tests are."""
    return tmp_path_factory.mktemp("conversions")


@pytest.fixture(scope="session")
def load(cache: Path) -> Load:
    """``load(path, **spec)`` is an engine on the CPU."""
    from backends.ctranslate2 import CTranslate2
    from repl.messages import ModelSpec

    def loaded(path: Path | str, cache: Path = cache, progress: Any = lambda *_: None, **more: Any) -> Any:
        kept = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(cache)
        try:
            spec = ModelSpec(name="tiny", backend="ctranslate2", path=str(path), **more)
            return CTranslate2.load(spec, "cpu", 1, progress)
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if kept is not None:
                os.environ["XDG_CACHE_HOME"] = kept

    return loaded


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As many tests share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
