"""All panes side by side: which there are, how they share the room, which one is active or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.containers import Container
from textual.message import Message

from repl.tui.clock import FrameClock
from repl.tui.views.grid import shape, visible_range
from repl.tui.views.pane import Pane
from repl.tui.views.view import LineView

if TYPE_CHECKING:
    from repl.config import Config


class Panes(Container):
    """A grid of panes that adapts to their number and the size of the screen."""

    def __init__(self, config: Config, clock: FrameClock) -> None:
        super().__init__(id="panes")
        self._config = config
        self._clock = clock
        self._panes: dict[str, Pane] = {}
        self.order: list[str] = []
        """The models that have a pane, in their order."""
        self.zoomed = False
        self.linked = False
        """Scrolling one scrolls all."""
        self._active: str | None = None
        self._told = 0
        """How many panes without room the header speaks of."""

    class Hidden(Message):
        """Another number of panes has no room on the screen."""

    @property
    def active(self) -> Pane | None:
        """The pane that had the focus last, if it still has its place."""
        return self._panes.get(self._active) if self._active in self.order else None

    @property
    def all(self) -> list[Pane]:
        """The panes in their order, those without room on the screen included."""
        return [self._panes[name] for name in self.order]

    @property
    def meant(self) -> list[Pane]:
        """What a key typed in the prompt is about: the active pane, or all while none was chosen."""
        return [self.active] if self.active is not None else self.all

    @property
    def hidden(self) -> int:
        """How many have no room on the screen."""
        return 0 if self.zoomed else sum(not pane.display for pane in self.all)

    def pane(self, model: str) -> Pane:
        """The pane of ``model``, made if there is none; placed at the end if it has no place."""
        pane = self._panes.get(model)
        if pane is None:
            config = self._config.models.get(model)
            pane = self._panes[model] = Pane(model, config.backend if config is not None else "", self._clock)
            self.mount(pane)
        if model not in self.order:
            self.order.append(model)
            self.share_out()
        return pane

    def made(self, model: str) -> Pane | None:
        """The pane of ``model``, if there is one; it may have no place now."""
        return self._panes.get(model)

    def set_models(self, models: Sequence[str]) -> None:
        """Show exactly these, in this order; panes that leave keep their answers for when they return."""
        for model in models:
            self.pane(model)
        self.order = list(models)
        for at, model in enumerate(models):
            if self.children[at] is not self._panes[model]:
                self.move_child(self._panes[model], before=at)
        for model, pane in self._panes.items():
            if model not in self.order and pane.has_focus:
                self.screen.set_focus(None)
        self.share_out()

    def activate(self, pane: Pane) -> None:
        """``pane`` got the focus."""
        self._active = pane.model
        self.share_out()

    def go_to(self, pane: Pane) -> None:
        """Give ``pane`` the focus, and a place on the screen if it has none."""
        pane.display = True  # focus first: hiding the pane that has it would pass it on to any other
        self.screen.set_focus(pane)
        self.activate(pane)

    def toggle_zoom(self) -> None:
        """Show the active pane alone, or all again."""
        self.zoomed = not self.zoomed and len(self.order) > 1
        if self.zoomed and self.active is None:
            self._active = self.order[0]
        self.share_out()

    @on(LineView.Scrolled)
    def _scroll_together(self, event: LineView.Scrolled) -> None:
        if not self.linked or not isinstance(event.view, Pane):
            return
        sight = event.view.sight()
        for pane in self.all:
            if pane is event.view:
                continue
            if event.view.following:
                pane.top = None
                pane.redraw()
            elif sight is not None:
                pane.show_line(*sight)

    def share_out(self) -> None:
        """Share the room out."""
        if not self.order:
            return
        active = self.order.index(self._active) if self._active in self.order else 0
        grid = shape(len(self.order), self.size.width or 80, self.size.height or 24)
        shown = visible_range(len(self.order), grid.places, active)
        if self.zoomed:
            grid, shown = shape(1, self.size.width, self.size.height), range(active, active + 1)
        self.styles.grid_size_columns = grid.columns
        self.styles.grid_size_rows = grid.rows
        names = {self.order[at] for at in shown}
        for name, pane in self._panes.items():
            pane.display = name in names
            pane.styles.column_span = 1
        if self.hidden != self._told:
            self._told = self.hidden
            self.post_message(self.Hidden())
        holes = grid.places - len(names)
        if holes > 0 and not self.zoomed:
            self._panes[self.order[shown[-1]]].styles.column_span = holes + 1

    def _on_resize(self, event: events.Resize) -> None:
        self.share_out()
