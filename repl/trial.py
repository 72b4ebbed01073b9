"""Proof that a backend works: one line asked of its demo model, in a process of its own, for ``repl.doctor``.

The whole path is used, the one of ``multigpu-repl run``, so that whatever stands in a user's way shows here.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

MODELS = {"hf": "lm-late", "fairseq": "num2digits", "ctranslate2": "lm-late"}
"""The demo model that stands for each backend."""
PROMPT = "forty two"
PATIENCE = 180.0
"""Seconds; a cold disk may need most of a minute to give up torch."""


@dataclass(frozen=True)
class Verdict:
    """How a trial went."""

    fault: str = ""
    """Empty when there was an answer."""
    hint: str = ""


class Trial:
    """A question that is under way from the moment this is made."""

    def __init__(self, backend: str) -> None:
        command = [sys.executable, "-P", "-m", "repl", "run", "--model", f"demo:{MODELS[backend]}"]
        command += ["--backend", backend, "--replicas", "1", "--quiet", "--set", "max_new=8"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def verdict(self, patience: float = PATIENCE) -> Verdict:
        """Wait for the answer; the process is gone afterwards, whatever came."""
        try:
            out, err = self._process.communicate(f"{PROMPT}\n", timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Verdict(f"no answer within {patience:g} s")
        try:
            record = json.loads(out)
        except ValueError:
            return _said(err) if err.strip() else Verdict(f"it ended with status {self._process.returncode}")
        error = record.get("error")
        return Verdict(error["message"], error.get("hint", "")) if error else Verdict()


def _said(err: str) -> Verdict:
    """The last message on standard error, and the indented hint below it."""
    lines = err.rstrip().splitlines()
    last = max((i for i, line in enumerate(lines) if not line.startswith(" ")), default=0)
    return Verdict(
        lines[last].strip().removeprefix("multigpu-repl: "), " ".join(map(str.strip, lines[last + 1 :]))
    )
