"""Why a batch run does not start or does not go on."""

from repl import exits


class BatchError(Exception):
    """In words for the user; ``code`` is what the program exits with."""

    def __init__(self, message: str, hint: str = "", *, code: int = exits.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What to do next."""
        self.code = code
