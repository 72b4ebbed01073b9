"""What a benchmark refuses."""


class BenchError(ValueError):
    """A wrong name or file; the message says which are right."""
