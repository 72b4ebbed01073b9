"""What a person did that cannot be done, in words for that person."""


class InputError(Exception):
    """A line or a command that cannot be carried out; nothing was changed by it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What to do instead."""
