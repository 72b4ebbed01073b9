"""What to do with a fault of the program itself: keep a report, tell where it is. Called by ``repl.cli``."""

import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from repl import __version__, exits, paths


def report(error: BaseException) -> int:
    """Write the report of ``error``, say so on standard error, and return the exit code."""
    now = datetime.now(UTC)
    lines = [
        f"multigpu-repl {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"{now.isoformat(timespec='seconds')}, process {os.getpid()}",
        "",
        *traceback.format_exception(error),
    ]
    name = f"crash-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    text = "\n".join(lines)
    what = f"multigpu-repl: a fault of the program: {type(error).__name__}"
    try:
        print(f"{what}. The report is in {_write(name, text)}", file=sys.stderr)
    except OSError as failure:
        print(f"{what}. No report could be written ({failure}), so here it is:\n{text}", file=sys.stderr)
    return exits.CRASH


def _write(name: str, text: str) -> Path:
    try:
        folder = paths.state_dir()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / name
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        file = Path(tempfile.mkdtemp(prefix="multigpu-repl-")) / name
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    return file
