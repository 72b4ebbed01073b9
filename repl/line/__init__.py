"""The front ends without a screen of their own: line mode for simple terminals, and pipes.

``repl.cli`` calls ``run`` on a terminal and ``pipe`` elsewhere. This is the only room that knows
prompt_toolkit; everything that is not about lines happens in ``repl.session`` and below.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repl.config import Config
    from repl.options import Options


def run(config: "Config", options: "Options") -> int:
    """Open line mode and stay until the user leaves; returns the exit code."""
    from repl.line.app import run

    return run(config, options)


def pipe(config: "Config", options: "Options") -> int:
    """Answer standard input on standard output; returns the exit code."""
    from repl.line.pipes import pipe

    return pipe(config, options)
