"""What the app remembers from one sitting to the next: the theme that was chosen last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from repl import paths

if TYPE_CHECKING:
    from repl.session.frontend import Notice


class Remembered:
    """A small file in the user's state folder."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or paths.state_dir() / "app.json"

    @property
    def theme(self) -> str | None:
        """The theme chosen last; None where none was, or the file cannot be read."""
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        theme = known.get("theme") if isinstance(known, dict) else None
        return theme if isinstance(theme, str) else None

    def keep_theme(self, name: str) -> Notice | None:
        """Write it down; what hinders that comes back."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"theme": name}) + "\n", "utf-8")
        except OSError as error:
            from repl.session.frontend import Notice

            words = f"the theme cannot be remembered: {self._path}: {error.strerror}"
            return Notice("warning", words, "it holds for now; `theme:` in the configuration holds for good")
        return None
