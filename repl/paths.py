"""Where things lie on a user's machine: the XDG folders, by platformdirs.

Nothing is created by asking; whoever writes creates the folder and says so when that fails.
"""

from pathlib import Path

import platformdirs

APP = "multigpu-repl"


def config_dir() -> Path:
    """The user's settings: ``config.yaml`` lies here."""
    return platformdirs.user_config_path(APP)


def data_dir() -> Path:
    """What must not be lost: the record of all answers."""
    return platformdirs.user_data_path(APP)


def cache_dir() -> Path:
    """What can be made anew."""
    return platformdirs.user_cache_path(APP)


def state_dir() -> Path:
    """Logs and crash reports."""
    return platformdirs.user_state_path(APP)


def user_config() -> Path:
    """The configuration that is read when none is named; it need not exist."""
    return config_dir() / "config.yaml"


def ready_configs() -> Path:
    """The folder of the configurations that come along: inside the package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "configs"
