"""What every test shares: folders of its own, no network, and one rule for tools that may be missing."""

import os
import shutil
import signal
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repl import driver_api, eventloop, nvml
from tests.nvml import Install, installer

# Before anything imports torch or transformers: workers share the cores, and no test may reach a network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup has them ignore a terminal
# that closes; the programs whose ends by these are tested would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def require_tool(name: str) -> str:
    """The path of an external program; without it a test skips on a user's machine and fails in CI."""
    path = shutil.which(name)
    if path is None:
        reason = f"needs {name}, which is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, records, cache and reports of the test alone; processes that it starts inherit them."""
    home = tmp_path_factory.mktemp("home")
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    return home


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A machine without GPUs, until it is given some."""
    install = installer(monkeypatch)

    def anew(*uuids: str, **more: int) -> object:
        nvml.forget()
        return install(*uuids, **more)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(driver_api, "cards", lambda: ())
    anew()
    yield anew
    nvml.forget()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """Tests run on the event loop that the program runs on."""
    return {"uvloop": eventloop.new}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` skip where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from repl.devices import gpus

    if not gpus():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
