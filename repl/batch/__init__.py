"""``multigpu-repl run``: a file of prompts through every replica, the answers in order, resumable.

The run knows the coordinator and nothing of sessions or their record: its output is the record. ``source``
reads the prompts, ``runner`` keeps the replicas busy, ``record`` says how an answer is written, ``output``
and ``journal`` make that survive a kill, and ``progress`` tells how far it is. ``repl.cli`` calls ``run``.
"""

import sys

from repl import exits, signals
from repl.batch.errors import BatchError
from repl.batch.job import perform
from repl.config import Config
from repl.options import BatchOptions
from repl.safe import visible_line

__all__ = ["run"]


def run(config: Config, options: BatchOptions) -> int:
    """Answer every line of the input with each of ``config.compare``; returns the exit code."""
    try:
        return signals.run(perform(config, options))
    except BatchError as error:
        print(f"multigpu-repl: {visible_line(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {visible_line(error.hint)}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        return exits.READER_GONE
