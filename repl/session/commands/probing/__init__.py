"""The commands that look into models. Each family has a module of its own."""

from repl.session.commands.probing import (
    agreeing,
    branching,
    chaining,
    comparing,
    diverging,
    mixing,
    noise,
    rerunning,
    scoring,
    stepping,
    sweeping,
)

COMMANDS = (
    *scoring.COMMANDS,
    *branching.COMMANDS,
    *stepping.COMMANDS,
    *comparing.COMMANDS,
    *diverging.COMMANDS,
    *noise.COMMANDS,
    *mixing.COMMANDS,
    *sweeping.COMMANDS,
    *agreeing.COMMANDS,
    *rerunning.COMMANDS,
    *chaining.COMMANDS,
)
