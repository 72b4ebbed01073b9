"""Why a batch run does not start or does not go on."""

import sys
from collections.abc import Coroutine

from repl import exits, signals
from repl.safe import visible_line


class BatchError(Exception):
    """In words for the user; ``code`` is what the program exits with."""

    def __init__(self, message: str, hint: str = "", *, code: int = exits.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What to do next."""
        self.code = code


def carry_out(job: Coroutine[object, object, int]) -> int:
    """Run ``job``, which signals end in good order; its exit code. Says on stderr why it failed."""
    try:
        return signals.run(job)
    except BatchError as error:
        print(f"multigpu-repl: {visible_line(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {visible_line(error.hint)}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        return exits.READER_GONE
