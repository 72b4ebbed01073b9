"""What surrounds the comparison with ONNX Runtime."""

import importlib.util

import pytest

from repl.bench import engine_onnx


def test_it_is_left_out_where_onnx_runtime_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert engine_onnx.figures(1) == []
