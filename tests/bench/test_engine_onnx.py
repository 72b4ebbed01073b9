"""What surrounds the comparison with ONNX Runtime."""

import importlib.util
import os

import pytest

from repl.bench import engine_onnx


def test_it_is_left_out_where_onnx_runtime_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert engine_onnx.figures(1) == []


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_the_users_cache_is_as_it_was(before: str | None, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if before is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", before)
    with pytest.raises(RuntimeError), engine_onnx._cache(str(tmp_path)):
        assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "cache")
        raise RuntimeError
    assert os.environ.get("XDG_CACHE_HOME") == before
