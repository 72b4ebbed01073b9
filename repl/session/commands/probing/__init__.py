"""The commands that look into models. Each family has a module of its own."""

from repl.session.commands.probing import scoring

COMMANDS = (*scoring.COMMANDS,)
