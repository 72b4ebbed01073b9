"""What stands round the answers: the words of the header, the replicas' rows and the footer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from textual.geometry import Size

from repl.safe import visible_line
from repl.tui.status import Bar, Counts, Words, footer, header, replica_rows
from repl.tui.words import named, settings, work_words

if TYPE_CHECKING:
    from textual.timer import Timer

    from repl.config import Config
    from repl.devices import GpuReading
    from repl.pool.plan import ReplicaStatus
    from repl.session.session import Session
    from repl.tui.views.panes import Panes

REMARK_SECONDS = 6.0
LOW = 12
"""Below this many rows the header and the footer make room for the answers."""
TINY = 6
"""Below this many rows only the answers and the prompt are shown."""
WIDE = 100
"""From this many columns on, the hints are complete."""
TALL = 20
"""From this many rows on, the replicas may take two."""


class FramedApp(Protocol):
    """What the frame needs of the app that it stands round."""

    config: Config
    panes: Panes

    @property
    def size(self) -> Size:
        """Of the screen."""
        ...

    @property
    def session(self) -> Session | None:
        """None until it is open."""
        ...

    def pool_changed(self) -> None:
        """Something about the replicas changed."""
        ...

    def set_timer(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in ``delay`` seconds."""
        ...


class Frame:
    """Makes the bars' words from the state of the app and its session."""

    def __init__(self, app: FramedApp) -> None:
        self._app = app
        self._size = app.size
        self.readings: dict[str, GpuReading] = {}
        self._remark: Words = ()
        self._timer: Timer | None = None
        self.header = Bar(self._header, id="header")
        self.replicas = Bar(self._replicas, id="replicas")
        self.footer = Bar(self._footer, id="footer")

    def refresh(self, size: Size | None = None) -> None:
        """Bring all bars up to date; ``size`` is the screen's, where it has just changed."""
        self._size = size or self._app.size
        self.replicas.styles.height = len(self._replicas(self._size.width))
        for bar in (self.header, self.replicas, self.footer):
            bar.refresh()

    def read_devices(self) -> None:
        """Take the GPUs' load and memory anew, where there are any."""
        if self._app.session is None:  # the devices are being looked for
            return
        from repl.devices import readings

        self.readings = readings()
        if self.readings:
            self._app.pool_changed()

    def tick(self) -> None:
        """A second has passed."""
        self.read_devices()
        if self._app.session is not None and self._app.session.background.works:
            self.footer.refresh()

    def say(self, words: str, *, for_ever: bool = False) -> None:
        """Show a remark in the footer, for a while or until the next; empty words take it back."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._remark = ((visible_line(words), ""),) if words else ()
        if words and not for_ever:
            self._timer = self._app.set_timer(REMARK_SECONDS, lambda: self.say(""))
        self.footer.refresh()

    def _header(self, width: int) -> Sequence[Words]:
        app, session = self._app, self._app.session
        replicas = session.status() if session is not None else []
        queued = session.coordinator.queued() if session is not None else 0
        counts = Counts(len(app.config.models), len(replicas), queued)
        return [header(app.config.name, counts, app.panes.hidden, width)]

    def _replicas(self, width: int) -> Sequence[Words]:
        if self._app.session is None:
            return [[(" ○ starting the replicas", "muted")]]
        most = 2 if self._size.height >= TALL else 1
        replicas = self._app.session.status()
        return replica_rows(replicas, self._readings_of(replicas), width, most)

    def _readings_of(self, replicas: Sequence[ReplicaStatus]) -> dict[str, GpuReading]:
        """By a replica's device, or its devices."""
        if not self.readings:
            return {}
        from repl.devices import together

        found = {replica.device: together(replica.device, self.readings) for replica in replicas}
        return {device: reading for device, reading in found.items() if reading is not None}

    def _footer(self, width: int) -> Sequence[Words]:
        return [footer(self._remark or self._hints(width), self._settings(), width)]

    def _hints(self, width: int) -> Words:
        session = self._app.session
        if session is not None and session.background.works:
            works = session.background.works
            return [("◐ ", "warning"), (f"{', '.join(map(work_words, works))} · Ctrl+C or /stop ends", "")]
        if any(pane.running for pane in self._app.panes.all):
            return [("Ctrl+C stops all · Esc this pane", "muted")]
        newline = "Alt+Enter new line · " if width >= WIDE else ""
        return [(f"Enter sends · {newline}/ commands", "muted")]

    def _settings(self) -> str:
        session = self._app.session
        if session is None or not session.comparison:
            return ""
        shown = {settings(session.effective(model)) for model in session.comparison}
        words = shown.pop() if len(shown) == 1 else "settings differ: /params"
        return f"{words} · {named(session.comparison)}"
