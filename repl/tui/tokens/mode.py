"""Walking tokens as the app carries it out: the strip, the heat of all panes, scoring what lacks figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, get_args

from repl.probe.heatmap import LEGEND
from repl.tui.tokens.layer import Heat
from repl.tui.tokens.strip import TokenStrip

if TYPE_CHECKING:
    from textual.geometry import Size

    from repl.config import Config
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session
    from repl.tui.frame import Frame
    from repl.tui.tokens.cursor import TokenCursor
    from repl.tui.tokens.view import TokenView
    from repl.tui.views.panes import Panes

ALTERNATIVES = 10
"""How many are asked for where an answer was kept without."""
HEATS: tuple[Heat, ...] = get_args(Heat)


class TokensApp(Protocol):
    """What walking tokens needs of the app."""

    config: Config
    panes: Panes
    frame: Frame

    @property
    def size(self) -> Size:
        """Of the screen."""
        ...

    @property
    def session(self) -> Session | None:
        """None until it is open."""
        ...

    @property
    def front_end(self) -> FrontEnd:
        """Where commands show their outcome."""
        ...

    def prefill(self, text: str) -> None:
        """Put ``text`` into the prompt."""
        ...


class TokenMode:
    """Belongs to the app."""

    def __init__(self, app: TokensApp) -> None:
        self._app = app
        self.strip = TokenStrip()

    # -- the cursor ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Put the cursor into the last answer of the focused pane, or of the first one that has any."""
        panes = self._app.panes
        for pane in panes.meant:
            if pane.display and pane.start_tokens():
                panes.go_to(pane)
                return
        self._app.frame.say("no answer here has tokens yet")

    def place(self, view: TokenView) -> None:
        """Show the strip beside the cursor of ``view``, or take it away."""
        found = view.cursor_cell()
        if view.cursor is None or found is None:
            self.strip.hide()
        else:
            self.strip.show(view.cursor.rows(), *found, self._app.size)

    def again(self) -> None:
        """The panes were laid out anew."""
        for pane in self._app.panes.all:
            if pane.cursor is not None:
                pane.point()

    def hand_on(self, cursor: TokenCursor) -> None:
        """Put the command that lets another model go on into the prompt."""
        exchange = cursor.block.exchange
        models = [*self._app.panes.order, *self._app.config.models]
        other = next((name for name in models if name != exchange.model), exchange.model)
        self._app.prefill(f"/handoff {other} #{exchange.id} @{cursor.index}")

    def score(self, cursor: TokenCursor) -> None:
        """Have the answer scored by its model, token by token, for the alternatives."""
        session = self._app.session
        if session is None or cursor.choices:
            return
        name = f"scoring #{cursor.block.exchange.id}"
        session.background.start(self._score(session, cursor), name, self._app.front_end)

    async def _score(self, session: Session, cursor: TokenCursor) -> None:
        from repl.session.inquiry import inquire, like, succeeded

        asked = like(cursor.block.exchange)
        inquiry = replace(
            asked,
            task="score",
            target_ids=tuple(step.token for step in cursor.steps),
            prefix="",
            prefix_ids=(),
            lane="exact",
            params={**asked.params, "logprobs": ALTERNATIVES},
        )
        (scored,) = succeeded(await inquire(session, [inquiry]))
        cursor.scored = scored.answer.steps
        for pane in self._app.panes.all:
            if pane.cursor is cursor:
                pane.point()

    # -- heat ------------------------------------------------------------------------------------------------

    def next_heat(self) -> None:
        """The next of the ways to colour tokens."""
        session = self._app.session
        if session is not None:
            session.heat = HEATS[(HEATS.index(session.heat) + 1) % len(HEATS)]
            words = "tokens are plain" if session.heat == "off" else LEGEND[session.heat]
            self._app.frame.say(words)
            self.show_heat()

    def show_heat(self) -> None:
        """Colour the panes as the session says."""
        session = self._app.session
        if session is not None:
            for pane in self._app.panes.all:
                pane.set_heat(session.heat)
