"""Import this before anything of fairseq: it skips the test module where fairseq is not installed."""

import importlib.util

import pytest

if importlib.util.find_spec("fairseq") is None or importlib.util.find_spec("torch") is None:
    pytest.skip("fairseq is not installed: multigpu-repl install fairseq", allow_module_level=True)

from backends.fairseq import compat

compat.load()
