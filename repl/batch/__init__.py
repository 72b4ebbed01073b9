"""``multigpu-repl run``: a file of prompts through every replica, the answers in order, resumable.

The run knows the coordinator and nothing of sessions or their record: its output is the record. ``source``
reads the prompts, ``runner`` keeps the replicas busy, ``record`` says how an answer is written, ``output``
and ``journal`` make that survive a kill, and ``progress`` tells how far it is. ``repl.cli`` calls ``run``.
"""

from repl.batch.errors import carry_out
from repl.batch.job import perform
from repl.config import Config
from repl.options import BatchOptions

__all__ = ["run"]


def run(config: Config, options: BatchOptions) -> int:
    """Answer every line of the input with each of ``config.compare``; returns the exit code."""
    return carry_out(perform(config, options))
