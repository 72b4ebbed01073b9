"""The commands that look into models. Each family has a module of its own."""

from repl.session.commands.probing import branching, comparing, scoring, stepping

COMMANDS = (*scoring.COMMANDS, *branching.COMMANDS, *stepping.COMMANDS, *comparing.COMMANDS)
