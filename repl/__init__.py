"""multigpu-repl: an interactive terminal REPL for text generation on every GPU of a machine."""

__version__ = "0.1.0"
