"""The exit codes of the command, in one place for every front end. The README's table says the same."""

OK = 0
"""Every answer was given."""
SOME_FAILED = 1
"""At least one prompt of a pipe or a batch got no answer, or a check of ``doctor`` failed."""
USAGE = 2
"""The command line or the configuration is wrong; nothing was started."""
NO_MODEL = 3
"""No model could be loaded."""
CRASH = 70
"""A fault of the program itself (``EX_SOFTWARE`` of sysexits.h); the message names the report's file."""
INTERRUPTED = 130
"""Ended by Ctrl-C (128 + SIGINT), as shells have it."""
READER_GONE = 141
"""Whoever read standard output left early (128 + SIGPIPE), as in ``| head``."""
TERMINATED = 143
"""Ended by SIGTERM (128 + 15)."""
