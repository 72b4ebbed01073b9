"""Line mode as a command sees it."""

import base64
from collections.abc import Sequence

from repl.line.prompt import Prompt
from repl.line.screen import Screen, write
from repl.line.words import Style, plain
from repl.probe.figure import Figure
from repl.safe import visible_line
from repl.session.frontend import Output


class LineFrontEnd:
    """Shows what commands say among the answers."""

    name = "line mode"
    waits = False
    repaints = False

    def __init__(self, prompt: Prompt, screen: Screen, style: Style, *, dumb: bool) -> None:
        self._prompt = prompt
        self._screen = screen
        self._style = style
        self._dumb = dumb
        self._prefill = ""
        self.left = False
        """The user wants to go."""

    def show(self, output: Output) -> None:
        """Print it."""
        columns = self._prompt.columns
        if isinstance(output, Figure):
            text = f"{self._style.name(visible_line(output.title))}\n{self._style.figure(output, columns)}"
        else:
            text = self._style.output(output, plain(output, columns))
        self._screen.print(text + "\n")

    def prefill(self, text: str) -> None:
        """The next prompt begins with it."""
        self._prefill = text

    def take_prefill(self) -> str:
        """What the next prompt begins with, once."""
        text, self._prefill = self._prefill, ""
        return text

    def copy(self, text: str) -> bool:
        """Hand ``text`` to the terminal's clipboard (OSC 52); whether it obeys cannot be known."""
        if self._dumb:
            return False
        data = base64.b64encode(text.encode(errors="replace")).decode()
        write(self._prompt.app.output, f"\x1b]52;c;{data}\x07")
        return True

    def set_theme(self, name: str) -> None:
        """There are none."""

    def themes(self) -> Sequence[str]:
        """There are none: the terminal's own colours are used."""
        return ()

    def quit(self) -> None:
        """Read no further."""
        self.left = True

    def panes_changed(self) -> None:
        """The bar shows the models chosen."""
        self._prompt.refresh()
