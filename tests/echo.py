"""A folder with a configuration of echo models, for tests that start the program as a shell does."""

from pathlib import Path

PATIENCE = 150
"""Seconds for what takes some: nothing here does, but other work may share the machine."""

_CONFIG = """
models:
  a:
    backend: echo
    path: none
    replicas: {replicas}
    slots: 2
    options: {{faults: true, gate: "{gate}", load_error: "{load_error}"}}
  b: {{backend: echo, path: none}}
compare: [{compare}]
"""


class EchoFolder:
    """Models ``a``, which obeys ``gate`` and fails as it is told, and ``b``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.configure()

    def configure(
        self, *, compare: str = "a", replicas: int = 1, gate: str = "", load_error: str = ""
    ) -> None:
        text = _CONFIG.format(compare=compare, replicas=replicas, gate=gate, load_error=load_error)
        self.config.write_text(text)
