"""The Textual app: it lays out the parts, routes keys and lines, and owns the session while it is open.

The first frame waits for nothing: the record, the coordinator and the replicas start after it. Lines sent
before that is done wait for it.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from repl.config import Config
from repl.devices import GpuReading, readings
from repl.session import commands
from repl.session.commands.base import Command, Completion
from repl.session.frontend import Notice, Output
from repl.session.safe import visible_line
from repl.session.session import Session
from repl.tui import keymap, themes
from repl.tui.clock import FrameClock
from repl.tui.completions import Completions
from repl.tui.drawer import Drawer
from repl.tui.frontend import TuiFrontEnd
from repl.tui.helpscreen import HelpScreen
from repl.tui.history import History
from repl.tui.palette import ReplProvider
from repl.tui.pane import Pane
from repl.tui.panes import Panes
from repl.tui.prompt import Prompt
from repl.tui.status import Bar, Counts, Words, footer, header, replica_rows
from repl.tui.words import named, settings

OpenSession = Callable[[], AbstractAsyncContextManager[Session]]

MESSAGE_SECONDS = 6.0
LOW = 12
"""Below this many rows the header and the footer make room for the answers."""
TINY = 6
"""Below this many, so do the replicas."""
WIDE = 100
"""From this many columns on, the hints are complete."""
TALL = 20
"""From this many on, the replicas may take two rows."""


class ReplApp(App[int]):
    """The terminal app. ``open_session`` is entered after the first frame and left by ``close``."""

    CSS_PATH = "styles.tcss"
    TITLE = "multigpu-repl"
    COMMANDS = {ReplProvider}  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.APP)

    class Opened(Message):
        """The session is there."""

    def __init__(self, config: Config, open_session: OpenSession, theme: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.session: Session | None = None
        self.front_end = TuiFrontEnd(self)
        self._open_session = open_session
        self._service: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._readings: dict[str, GpuReading] = {}
        self._message: Words = ()
        self._message_timer: Timer | None = None
        self._remarks: list[Notice] = []
        """What the last line's command said in the footer."""
        for own in themes.OWN:
            self.register_theme(own)
        self.theme = theme if theme in self.available_themes else themes.DARK.name

    # -- laying out ------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Header, panes, drawer, replicas, prompt, footer; the completions float above."""
        clock = FrameClock(self.set_interval)
        self.clock = clock
        yield Bar(self._header, id="header")
        self.panes = Panes(self.config, clock)
        yield self.panes
        self.drawer = Drawer()
        yield self.drawer
        yield Bar(self._replica_rows, id="replicas")
        self.prompt = Prompt(self._complete, History())
        with Horizontal(id="ask"):
            yield Static(Content(" > "), id="mark")
            yield self.prompt
        yield Bar(self._footer, id="footer")
        self.completions = Completions()
        yield self.completions

    def on_mount(self) -> None:
        """Show the panes; start everything else after the first frame."""
        self.panes.set_models(self.config.compare)
        self.prompt.placeholder = Content(f"Ask {named(self.config.compare)}")
        self.prompt.focus()
        self.call_after_refresh(self._start)

    def on_resize(self, event: events.Resize) -> None:
        """Give the answers the room first when there is little."""
        height = event.size.height
        self.screen.set_class(height < LOW, "-low")
        self.screen.set_class(height < TINY, "-tiny")
        self._fit_replicas(event.size.width, height)
        if self.drawer.display:
            self.drawer.fit()
        self.prompt.close_completions()

    # -- the session's life ----------------------------------------------------------------------------------

    def _start(self) -> None:
        self._service = asyncio.create_task(self._serve())
        self._service.add_done_callback(self._served)
        # What stands now lives as long as the app: looking through it again and again would hold up keys.
        gc.collect()
        gc.freeze()

    async def _serve(self) -> None:
        async with self._open_session() as session:
            self.session = session
            session.listen(self.front_end)
            unwatch = session.coordinator.watch(lambda status: self.pool_changed())
            self.prompt.past.lines[:0] = await session.store.lines()
            self._show_earlier(session)
            self.set_interval(1.0, self._read_devices)
            self._read_devices()
            self.post_message(self.Opened())
            worker = asyncio.create_task(self._run_lines(session))
            await self._leaving.wait()
            unwatch()
            worker.cancel()

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self.is_running:
            self._leaving.set()
            self.exit(None, return_code=1, message=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """End the session; to be called after the app has left the screen."""
        self._leaving.set()
        if self._service is not None:
            await self._service

    async def _run_lines(self, session: Session) -> None:
        """Carry out what is typed, one line after the other."""
        while True:
            line = await self._lines.get()
            try:
                await session.run(line, self.front_end)
            except Exception as error:
                self.log.error(error)
                words = f"{type(error).__name__}: {error}"
                self.show_output(Notice("error", words, "a fault of this program; the session goes on"))
            self._refresh_bars()

    def _show_earlier(self, session: Session) -> None:
        for exchange in session.exchanges:
            self.panes.pane(exchange.model).show(exchange, earlier=True)
        self.show_comparison()
        self.pool_changed()

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
        self._fit_replicas(self.size.width, self.size.height)
        self._refresh_bars()

    def show_output(self, output: Output) -> None:
        """A remark that fits goes into the footer; the rest opens the drawer."""
        if isinstance(output, Notice) and output.level == "info":
            self._remarks.append(output)
            words = " · ".join(filter(None, (r for n in self._remarks for r in (n.text, n.hint))))
            if "\n" not in words and cell_len(words) < self.size.width - 4 and self.size.height >= LOW:
                self.say(words)
                return
            self._unsay()
        earlier, self._remarks = [n for n in self._remarks if n is not output], []
        for shown in (*earlier, output):
            self.drawer.show(shown)

    def say(self, words: str, style: str = "") -> None:
        """Show a remark in the footer for a while."""
        self._message = ((visible_line(words), style),)
        if self._message_timer is not None:
            self._message_timer.stop()
        self._message_timer = self.set_timer(MESSAGE_SECONDS, self._unsay)
        self._refresh_bars()

    def _unsay(self) -> None:
        self._message = ()
        self._refresh_bars()

    def show_comparison(self) -> None:
        """Show a pane for each chosen model, with the answers that belong there."""
        if self.session is None:
            return
        self.panes.set_models(self.session.comparison)
        self.prompt.placeholder = Content(f"Ask {named(self.session.comparison)}")
        self.pool_changed()

    def theme_names(self) -> Sequence[str]:
        """The app's own themes, then Textual's."""
        own = [theme.name for theme in themes.OWN]
        return [*own, *sorted(set(self.available_themes) - set(own))]

    # -- bars ------------------------------------------------------------------------------------------------

    def _refresh_bars(self) -> None:
        for bar in self.query(Bar):
            bar.refresh()

    def _header(self, width: int) -> Sequence[Words]:
        replicas = self.session.status() if self.session is not None else []
        queued = self.session.coordinator.queued() if self.session is not None else 0
        counts = Counts(len(self.config.models), len(replicas), queued)
        return [header(self.config.name, counts, self.panes.hidden, width)]

    def _replica_rows(self, width: int) -> Sequence[Words]:
        if self.session is None:
            return [[(" ○ starting the replicas", "muted")]]
        rows = 2 if self.size.height >= TALL else 1
        return replica_rows(self.session.status(), self._readings, width, rows)

    def _fit_replicas(self, width: int, height: int) -> None:
        bar = self.query_one("#replicas", Bar)
        bar.styles.height = len(self._replica_rows(width))

    def _footer(self, width: int) -> Sequence[Words]:
        return [footer(self._message or self._hints(), self._settings(), width)]

    def _hints(self) -> Words:
        if self.session is not None and any(pane.running for pane in self.panes.all):
            return [("Ctrl+C stops all · Esc this pane", "muted")]
        newline = "Alt+Enter new line · " if self.size.width >= WIDE else ""
        return [(f"Enter sends · {newline}/ commands", "muted")]

    def _settings(self) -> str:
        session = self.session
        if session is None or not session.comparison:
            return ""
        shown = {settings(session.effective(model)) for model in session.comparison}
        words = shown.pop() if len(shown) == 1 else "settings differ: /params"
        return (
            f"{words} · {'compare ' if len(session.comparison) > 1 else ''}{named(session.comparison, ' ')}"
        )

    def _read_devices(self) -> None:
        self._readings = readings()
        if self._readings:
            self.pool_changed()

    # -- the prompt ------------------------------------------------------------------------------------------

    def _complete(self, text: str) -> Sequence[Completion]:
        return commands.complete(self.session, text) if self.session is not None else ()

    def submit_line(self, line: str) -> None:
        """Send a line as if it had been typed."""
        self.drawer.close()
        self._unsay()
        self._remarks.clear()
        self._lines.put_nowait(line)

    def prefill(self, text: str) -> None:
        """Put ``text`` into the prompt, to be edited and sent."""
        self.prompt.fill(text)
        self.prompt.focus()

    @on(Prompt.Sent)
    def _line_sent(self, event: Prompt.Sent) -> None:
        self.submit_line(event.text)

    @on(Prompt.Completing)
    def _show_completions(self, event: Prompt.Completing) -> None:
        self.completions.show(event.completions, event.chosen)
        bottom = self.query_one("#ask").region.y
        height = int(self.completions.styles.height.value) if self.completions.styles.height else 0
        self.completions.styles.offset = (0, max(0, bottom - height))

    @on(Prompt.Searching)
    def _show_search(self, event: Prompt.Searching) -> None:
        self._message = ((event.words, ""),) if event.words else ()
        self._refresh_bars()

    @on(Pane.Typed)
    def _type_in_prompt(self, event: Pane.Typed) -> None:
        self.prompt.focus()
        self.prompt.put(event.character)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Remember which pane is meant by keys that concern one."""
        if isinstance(event.widget, Pane):
            self.panes.activate(event.widget)

    # -- actions ---------------------------------------------------------------------------------------------

    def commands(self) -> Iterable[Command]:
        """All commands."""
        return commands.COMMANDS

    def action_interrupt(self) -> None:
        """Copy, stop or clear: never leave."""
        selected = self.screen.get_selected_text() or self.prompt.selected_text
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            self.say(f"copied {len(selected)} characters")
        elif self.screen is not self.screen_stack[0]:
            self.pop_screen()
        elif self.prompt.searching:
            self.prompt.leave_search()
        elif self.session is not None and (count := self.session.stop()):
            self.say(f"stopping {count} answer{'s' if count != 1 else ''}")
        elif self.prompt.text:
            self.prompt.close_completions()
            self.prompt.clear()
        else:
            self.say("Ctrl+D or /quit leaves")

    def action_escape(self) -> None:
        """Close what is open, else stop an answer, else come back to the prompt."""
        if self.prompt.restore_typed():
            return
        if self.screen.selections:
            self.screen.clear_selection()
            return
        if self.drawer.close():
            self.prompt.focus()
            return
        pane = self.focused if isinstance(self.focused, Pane) else self.panes.active
        running = [x for p in ([pane] if pane is not None else self.panes.all) for x in p.running]
        for exchange in running:
            if exchange.ticket is not None:
                exchange.ticket.cancel()
        if not running and self.panes.zoomed:
            self.panes.toggle_zoom()
        elif not running:
            self.prompt.focus()

    def action_leave(self) -> None:
        """Leave; running answers are stopped and recorded, nothing is asked."""
        self._leaving.set()
        self.exit(0)

    def action_leave_if_empty(self) -> None:
        """Leave, unless something stands in the prompt."""
        if not self.prompt.text:
            self.action_leave()

    def action_help(self) -> None:
        """Show the help screen."""
        self.push_screen(HelpScreen(self.commands()))

    def action_prompt(self) -> None:
        """Go to the prompt."""
        self.prompt.focus()

    def action_next_pane(self, by: int) -> None:
        """Go to the next pane, or to the prompt after the last."""
        current = self.focused if isinstance(self.focused, Pane) else None
        pane = self.panes.neighbour(by, current)
        (pane or self.prompt).focus()

    def action_pane(self, number: int) -> None:
        """Go to the pane at a place, counted from 1."""
        if number <= len(self.panes.order):
            self.panes.activate(self.panes.all[number - 1])
            self.panes.all[number - 1].focus()

    def action_zoom(self) -> None:
        """One pane alone, and back."""
        self.panes.toggle_zoom()

    def action_pages(self, pages: int) -> None:
        """Scroll from the prompt: the drawer if it is open, else the active pane or all."""
        if self.drawer.display:
            self.drawer.action_pages(pages)
            return
        for pane in [self.panes.active] if self.panes.active is not None else self.panes.all:
            pane.action_pages(pages)

    def action_redraw(self) -> None:
        """Draw the screen anew, after something else wrote on it."""
        self.refresh(repaint=True, layout=True)
        self.screen.refresh(repaint=True, layout=True)
