"""What the command line says beside the configuration; ``repl.cli`` makes these, the front ends read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from repl.params import Value


@dataclass(frozen=True, kw_only=True)
class Options:
    """One start of the program. Which models there are is the configuration's matter."""

    settings: Mapping[str, Value] = field(default_factory=dict)
    """Parameters given with ``--set``; checked. They count above the models' defaults."""
    plain: bool = False
    """Line mode was asked for."""
    json: bool = False
    """Print events, one JSON object a line."""
    resume: str | None = None
    """Go on with an earlier session: its id, or ``last``."""
    system: str = ""
    """System prompt to begin with."""
    template: bool | None = None
    """Apply chat templates; None leaves that to each model's configuration."""
    theme: str | None = None
    """As asked for here or else in the configuration; None is the front end's choice."""
    no_record: bool = False
    """Write nothing to the record."""
    trace: Path | None = None
    """Write what the coordinator does to this file, one JSON object a line."""
    metrics_port: int | None = None
    """Serve Prometheus figures on this port of the loopback interface."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions(Options):
    """``multigpu-repl run``. The models are those of ``Config.compare``."""

    input: Path | None = None
    """Prompts, one a line; None is standard input."""
    output: Path | None = None
    """Answers, in the order of the prompts; None is standard output."""
    format: Literal["jsonl", "fairseq", "text"] = "jsonl"
    chain: str = ""
    """Models one after another, such as ``a>b``; then those of ``Config.compare`` do not matter."""
    restart: bool = False
    """Begin anew where an output of an earlier run lies."""
    quiet: bool = False
    """No progress on standard error."""
