"""Configuration: which models there are, on which devices, with which settings.

``repl.cli`` asks for one with ``choose``; every other room takes the finished ``Config``. Whatever is wrong
with a file or the command line becomes one ``ConfigError``.
"""

from repl.config.models import Config, ConfigError, ModelConfig, Replicas

__all__ = ["Config", "ConfigError", "ModelConfig", "Replicas"]
