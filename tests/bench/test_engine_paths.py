"""What surrounds the comparisons with ONNX Runtime and with compiled steps."""

import importlib.util
import os
import shutil

import pytest

from repl.bench import engine_paths
from repl.bench.alone import prepared
from repl.bench.rounds import cache_in
from tests.pool.test_preparing import Kettle


def test_onnx_runtime_is_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert engine_paths.on_onnx_runtime(1) == []


def test_compiled_steps_are_left_out_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert engine_paths.compiled(1) == []


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_the_users_cache_is_as_it_was(before: str | None, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if before is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", before)
    with pytest.raises(RuntimeError), cache_in(str(tmp_path)):
        assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "cache")
        raise RuntimeError
    assert os.environ.get("XDG_CACHE_HOME") == before


def test_an_engine_is_measured_once_it_is_prepared():
    assert prepared(Kettle()).capabilities.notes == ("hot",)
