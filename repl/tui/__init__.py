"""The terminal app: panes of streaming answers over a prompt.

``repl.cli`` calls ``run``. This is the only room that knows Textual; everything that is not about the screen
happens in ``repl.session`` and below.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repl.config import Config
    from repl.options import Options


def run(config: "Config", options: "Options") -> int:
    """Open the app and stay until the user leaves; returns the exit code."""
    # Textual reads this when it is imported. At its 60 updates a second an echoed key waits up to 33 ms.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    from repl.tui.input.typeahead import TypeAhead

    keys = TypeAhead()
    keys.take()
    try:
        from repl.tui.main import main

        return main(config, options, keys)
    finally:
        keys.give_back()
