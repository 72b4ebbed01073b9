"""Configuration: which models there are, on which devices, with which settings.

``repl.cli`` asks for one with ``choose``; every other room takes the finished ``Config``. Whatever is wrong
with a file or the command line becomes one ``ConfigError``.
"""

from repl.config.choose import Arguments, choose, load_config, ready
from repl.config.models import Config, ConfigError, ModelConfig, Replicas

__all__ = ["Arguments", "Config", "ConfigError", "ModelConfig", "Replicas", "choose", "load_config", "ready"]
