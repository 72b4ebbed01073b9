"""The Textual app: it lays out the parts and routes keys, lines and news between them.

The first frame waits for nothing: the record, the coordinator and the replicas start after it.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from repl.tui import keymap, themes
from repl.tui.actions import Actions
from repl.tui.clock import FrameClock
from repl.tui.frame import LOW, TINY, Frame
from repl.tui.frontend import TuiFrontEnd
from repl.tui.input.completions import Completions
from repl.tui.input.history import History
from repl.tui.input.pastes import PasteParser
from repl.tui.input.prompt import Prompt
from repl.tui.service import Service
from repl.tui.tokens.comparing import Comparing
from repl.tui.tokens.mode import TokenMode
from repl.tui.tokens.view import TokenView
from repl.tui.views.drawer import Drawer
from repl.tui.views.pane import Pane
from repl.tui.views.panes import Panes
from repl.tui.views.view import LineView
from repl.tui.words import named

if TYPE_CHECKING:
    from repl.config import Config
    from repl.session.commands.base import Completion
    from repl.session.frontend import Notice
    from repl.session.session import Session
    from repl.tui.remembered import Remembered
    from repl.tui.service import OpenSession


def _palette() -> type[Provider]:
    from repl.tui.palette import ReplProvider

    return ReplProvider


class ReplApp(Actions):
    """The terminal app. ``open_session`` is entered after the first frame and left by ``close``."""

    CSS_PATH = "styles.tcss"
    TITLE = "multigpu-repl"
    COMMANDS: ClassVar = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.APP)

    AUTO_FOCUS = None

    def __init__(
        self,
        config: Config,
        open_session: OpenSession,
        theme: str | None = None,
        typed: str = "",
        remembered: Remembered | None = None,
    ) -> None:
        """``typed`` is what was typed before there was an app; without ``remembered`` nothing is kept."""
        super().__init__()
        self._early: list[Message] | None = [*PasteParser().feed(typed)] if typed else []
        """Keys and pastes that wait for the first frame; None after it."""
        self.config = config
        self._service = Service(open_session, TuiFrontEnd(self), self._opened)
        for own in themes.OWN:
            self.register_theme(own)
        self._remembered = remembered
        self.theme, self._doubt = themes.choose(theme, self.available_themes)

    @property
    def front_end(self) -> TuiFrontEnd:
        """The app as the session sees it."""
        return self._service.front_end

    @property
    def session(self) -> Session | None:
        """None until it is open."""
        return self._service.session

    # -- laying out ------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Header, panes, drawer, replicas, prompt, footer; the completions float above."""
        self.clock = FrameClock(self.set_interval)
        self.frame = Frame(self)
        self.panes = Panes(self.config, self.clock)
        self.drawer = Drawer()
        self.prompt = Prompt(self._complete, History())
        self.completions = Completions()
        self.tokens = TokenMode(self)
        self.comparing = Comparing(self)
        with Vertical(id="above"):  # it has to make do with the room that the prompt leaves
            yield self.frame.header
            yield self.panes
            yield self.comparing.bar
            yield self.drawer
            yield self.frame.replicas
        with Horizontal(id="ask"):
            yield Static(Content(" > "), id="mark")
            yield self.prompt
        yield self.frame.footer
        yield self.completions
        yield self.tokens.strip

    def on_mount(self) -> None:
        """Show the panes; start everything else after the first frame."""
        self._show_panes(self.config.compare)
        self.screen.set_focus(self.prompt)
        if self._doubt is not None:
            self.front_end.notice(self._doubt)
        self.call_after_refresh(self._start)

    def on_resize(self, event: events.Resize) -> None:
        """Give the answers the room first when there is little."""
        height = event.size.height
        self.screen.set_class(height < LOW, "-low")
        self.screen.set_class(height < TINY, "-tiny")
        self.frame.refresh(event.size)
        if self.drawer.display:
            self.drawer.fit(event.size)
        self.prompt.close_completions()

    async def on_event(self, event: events.Event) -> None:
        """Keep what is typed until the prompt can take it, and see that text goes there.

        The focus has to move before the event is passed on: what was typed or pasted right after it waits
        already, and would go to where the focus was.
        """
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            if self._early is not None:
                self._early.append(event)
                return
            if isinstance(self.focused, LineView) and self.focused.is_for_prompt(event):
                self.screen.set_focus(self.prompt)
        await super().on_event(event)

    def choose_theme(self, name: str) -> None:
        """Change the colours, for later sittings too."""
        self.theme = name
        doubt = self._remembered.keep_theme(name) if self._remembered is not None else None
        if doubt is not None:
            self.front_end.notice(doubt)

    # -- the session's life ----------------------------------------------------------------------------------

    async def _start(self) -> None:
        early, self._early = self._early or [], None
        for event in early:
            if isinstance(event, events.Event):
                await self.on_event(event)
        self._service.start(self._broken)
        # What stands now lives as long as the app: looking through it again and again would hold up keys.
        gc.collect()
        gc.freeze()

    async def _opened(self, session: Session) -> None:
        session.listen(self.front_end)
        earlier = await session.store.lines()
        if not self.is_running:
            return  # left while it was being opened
        session.coordinator.watch(lambda status: self.pool_changed())
        session.background.changed = self.pool_changed
        self.prompt.past.lines[:0] = earlier
        for exchange in session.exchanges:
            self.panes.pane(exchange.model).show(exchange, earlier=True)
        self.show_comparison()
        self.set_interval(1.0, self.frame.tick)

    def _broken(self, error: BaseException) -> None:
        if self.is_running:
            self.exit(return_code=1)

    async def close(self) -> Sequence[Notice]:
        """End the session once the screen is given back; returns what it still has to say.

        Raises what broke it down.
        """
        await self._service.close()
        return self.front_end.late

    # -- what the front end is told --------------------------------------------------------------------------

    def pool_changed(self) -> None:
        """Something about the replicas or the queue changed: draw it with the next frame."""
        self.clock.wake(self)

    def draw_news(self) -> None:
        """Bring everything that shows the pool up to date."""
        session = self.session
        if session is None or not self.is_running:
            return
        replicas = session.status()
        for pane in self.panes.all:
            mine = [status for status in replicas if status.model == pane.model]
            waiting = session.coordinator.queued(pane.model) if pane.model in session.models else 0
            pane.show_replicas(mine, waiting)
        self.tokens.show_heat()
        self.comparing.lay_out()
        self.frame.refresh()

    def show_comparison(self) -> None:
        """Show a pane for each chosen model, with the answers that belong there."""
        if self.session is not None:
            self._show_panes(self.session.comparison)
            self.pool_changed()

    def _show_panes(self, models: Sequence[str]) -> None:
        self.panes.set_models(models)
        self.prompt.placeholder = Content(f"Ask {named(models)}")

    # -- the prompt ------------------------------------------------------------------------------------------

    def _complete(self, text: str) -> Sequence[Completion]:
        if self.session is None:
            return ()
        from repl.session.commands import complete

        return complete(self.session, text)

    def submit_line(self, line: str) -> None:
        """Send a line as if it had been typed."""
        self.drawer.close()
        self.frame.say("")
        self.front_end.begin_line()
        self._service.submit(line)

    def prefill(self, text: str) -> None:
        """Put ``text`` into the prompt, to be edited and sent."""
        self.prompt.fill(text)
        self.prompt.focus()

    @on(Prompt.Sent)
    def _line_sent(self, event: Prompt.Sent) -> None:
        self.submit_line(event.text)

    @on(Prompt.Completing)
    def _show_completions(self, event: Prompt.Completing) -> None:
        self.completions.show(event.completions, event.chosen, above=self.query_one("#ask").region.y)

    @on(Prompt.Searching)
    def _show_search(self, event: Prompt.Searching) -> None:
        self.frame.say(event.words, for_ever=True)

    @on(Panes.Hidden)
    def _tell_hidden(self) -> None:
        self.frame.header.refresh()
        self.comparing.lay_out()

    # -- tokens ----------------------------------------------------------------------------------------------

    @on(TokenView.Pointed)
    def _show_strip(self, event: TokenView.Pointed) -> None:
        self.tokens.place(event.view)

    @on(TokenView.Asked)
    def _carry_out(self, event: TokenView.Asked) -> None:
        self.submit_line(event.line)

    @on(TokenView.Handing)
    def _hand_on(self, event: TokenView.Handing) -> None:
        self.tokens.hand_on(event.cursor)

    @on(TokenView.Copied)
    def _copy_token(self, event: TokenView.Copied) -> None:
        self.copy_to_clipboard(event.text)
        self.frame.say(f"copied {event.name}")

    @on(TokenView.Lacking)
    def _score_again(self, event: TokenView.Lacking) -> None:
        self.tokens.score(event.cursor)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Remember which pane is meant by keys that concern one."""
        if isinstance(event.widget, Pane):
            self.panes.activate(event.widget)
