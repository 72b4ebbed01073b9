"""One frame clock for the whole app: what arrives between two frames is drawn in one go.

Tokens come by the hundred a second and from several models at once; drawing each one would keep the terminal
busy and typed keys waiting. The clock ticks only while something waits to be drawn.
"""

from collections.abc import Callable
from typing import Protocol

from textual.timer import Timer

FRAMES_PER_SECOND = 25


class Drawable(Protocol):
    """Something that gathers news and draws it on demand."""

    def draw_news(self) -> None:
        """Draw what arrived since the last call."""
        ...


class FrameClock:
    """Calls ``draw_news`` of whatever asked for it, at most ``FRAMES_PER_SECOND`` times a second."""

    def __init__(self, every: Callable[[float, Callable[[], None]], Timer]) -> None:
        """``every`` makes a repeating timer: an app's ``set_interval``."""
        self._waiting: dict[Drawable, None] = {}
        self._timer = every(1 / FRAMES_PER_SECOND, self.tick)
        self._timer.pause()
        self._running = False

    def wake(self, drawable: Drawable) -> None:
        """Have ``drawable`` drawn with the next frame."""
        self._waiting[drawable] = None
        if not self._running:
            self._running = True
            self._timer.resume()

    def tick(self) -> None:
        """Draw a frame now."""
        if not self._waiting:
            self._running = False
            self._timer.pause()
            return
        waiting, self._waiting = self._waiting, {}
        for drawable in waiting:
            drawable.draw_news()
