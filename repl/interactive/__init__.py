"""``multigpu-repl fairseq-interactive``: what scripts written for fairseq's tool expect, on every GPU.

Lines come from standard input or a file and are answered as they come, in order; ``S- H- D- P- A-`` lines go
to standard output, everything else to standard error. ``flags`` reads the command line, ``job`` does the
work with the parts of ``repl.batch``. ``repl.cli`` calls ``run``.
"""

import sys
from collections.abc import Sequence

from repl.batch.errors import carry_out
from repl.interactive import flags
from repl.interactive.job import perform

__all__ = ["run"]


def run(argv: Sequence[str]) -> int:
    """Answer all lines; returns the exit code. Raises ``UsageError`` and ``ConfigError``."""
    wanted = flags.read(list(argv))
    for note in wanted.notes:
        print(f"multigpu-repl: {note}", file=sys.stderr)
    return carry_out(perform(wanted))
