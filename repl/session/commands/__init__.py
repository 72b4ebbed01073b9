"""The commands, each defined once and offered by every front end.

``run`` carries out a typed command, ``complete`` says what can stand at the end of a line being typed.
"""

from repl.session.commands.base import Command, Completion
from repl.session.commands.registry import COMMANDS, complete, find, run

__all__ = ["COMMANDS", "Command", "Completion", "complete", "find", "run"]
