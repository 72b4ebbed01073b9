"""What the keys of the app do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import App
from textual.widget import Widget

from repl.probe.figure import plural
from repl.tui.views.pane import Pane

if TYPE_CHECKING:
    from repl.session.commands.base import Command
    from repl.session.session import Session
    from repl.tui.frame import Frame
    from repl.tui.input.prompt import Prompt
    from repl.tui.tokens.mode import TokenMode
    from repl.tui.views.drawer import Drawer
    from repl.tui.views.panes import Panes


class Actions(App[int]):
    """The half of the app that answers to keys; the parts are laid out by the other."""

    frame: Frame
    panes: Panes
    drawer: Drawer
    prompt: Prompt
    tokens: TokenMode

    @property
    def session(self) -> Session | None:
        """None until it is open."""
        raise NotImplementedError

    def pool_changed(self) -> None:
        """Something about the replicas or the queue changed: draw it with the next frame."""
        raise NotImplementedError

    def commands(self) -> Iterable[Command]:
        """All commands."""
        from repl.session.commands import COMMANDS

        return COMMANDS

    def action_interrupt(self) -> None:
        """Copy, stop or clear: never leave."""
        selected = self.screen.get_selected_text() or self.prompt.stand_ins.decoded(self.prompt.selected_text)
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            self.frame.say(f"copied {len(selected)} characters")
        elif self.screen is not self.screen_stack[0]:
            self.pop_screen()
        elif self.prompt.searching:
            self.prompt.leave_search()
        elif self.session is not None and (count := self.session.stop()):
            commands = len(self.session.background)
            parts = [plural(count - commands, "answer")] if count > commands else []
            parts += [plural(commands, "command")] if commands else []
            self.frame.say(f"stopping {' and '.join(parts)}")
            self.pool_changed()
        elif self.prompt.text:
            self.prompt.close_completions()
            self.prompt.clear()
        else:
            self.frame.say("Ctrl+D or /quit leaves")

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
        running = [x.ticket for pane in self.panes.meant for x in pane.running if x.ticket is not None]
        for ticket in running:
            ticket.cancel()
        self.pool_changed()
        if not running and self.panes.zoomed:
            self.panes.toggle_zoom()
        elif not running:
            self.prompt.focus()

    def action_leave(self) -> None:
        """Leave; running answers are stopped and recorded, nothing is asked."""
        self.exit(0)

    def action_leave_if_empty(self) -> None:
        """Leave, unless something stands in the prompt."""
        if not self.prompt.text:
            self.action_leave()

    def action_help(self) -> None:
        """Show the help screen."""
        from repl.tui.views.helpscreen import HelpScreen

        self.push_screen(HelpScreen(self.commands()))

    def action_next_pane(self, by: int) -> None:
        """Go round the panes, the drawer if it is open, and the prompt."""
        stops: list[Widget] = [*self.panes.all, *([self.drawer] if self.drawer.display else []), self.prompt]
        at = stops.index(self.focused) if self.focused in stops else -1
        there = stops[(at + by) % len(stops)]
        if isinstance(there, Pane):
            self.panes.go_to(there)
        else:
            there.focus()

    def action_pane(self, number: int) -> None:
        """Go to the pane at a place, counted from 1."""
        for pane in self.panes.all[number - 1 : number]:
            self.panes.go_to(pane)

    def action_zoom(self) -> None:
        """One pane alone, or most of the screen for the drawer; and back."""
        if self.drawer.has_focus:
            self.drawer.toggle_height()
        else:
            self.panes.toggle_zoom()

    def action_tokens(self) -> None:
        """Walk the tokens of an answer."""
        self.tokens.start()

    def action_heat(self) -> None:
        """Colour the tokens in the next way."""
        self.tokens.next_heat()

    def action_link(self) -> None:
        """Scroll all panes together, or each alone."""
        self.panes.linked = not self.panes.linked
        words = "all panes scroll together" if self.panes.linked else "each pane scrolls alone"
        self.frame.say(f"{words}: F5 changes it")

    def action_pages(self, pages: int) -> None:
        """Scroll from the prompt: the drawer if it is open, else the active pane or all."""
        views = [self.drawer] if self.drawer.display else self.panes.meant
        for view in views:
            view.action_pages(pages)

    def action_redraw(self) -> None:
        """Draw the screen anew, after something else wrote on it."""
        self.refresh(repaint=True, layout=True)
        self.screen.refresh(repaint=True, layout=True)
