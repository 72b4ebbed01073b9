"""The input line: history, completion, several lines, and a bar below it with replicas and settings."""

from collections.abc import AsyncGenerator, Callable, Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from repl.line.screen import FRAME, LiveScreen
from repl.line.words import cut, replicas, settings
from repl.safe import visible_line
from repl.session import commands
from repl.session.session import Session

PROMPT = "> "
MENU_ROWS = 8

STYLE = Style.from_dict(
    {
        "bottom-toolbar": "noreverse fg:ansibrightblack",
        "prompt": "bold",
    }
)


class Prompt:
    """Reads lines. Only one is read at a time."""

    def __init__(self, session: Session, *, interrupt: Callable[[], None]) -> None:
        self._session = session
        self._interrupt = interrupt
        self._screen: LiveScreen | None = None
        self._prompts: PromptSession[str] = PromptSession(
            message=self._message,
            bottom_toolbar=self._bar,
            prompt_continuation=" " * len(PROMPT),
            multiline=True,
            history=Lines(session),
            completer=Commands(session),
            complete_while_typing=False,
            reserve_space_for_menu=MENU_ROWS,
            enable_open_in_editor=True,
            enable_suspend=True,
            key_bindings=self._bindings(),
            style=STYLE,
        )
        self.app.min_redraw_interval = FRAME
        self.app.ttimeoutlen = 0.05  # a lone Escape need not be waited for

    @property
    def app(self) -> "Application[str]":
        """The prompt as prompt_toolkit runs it."""
        return self._prompts.app

    @property
    def buffer(self) -> Buffer:
        """What is being typed."""
        return self._prompts.default_buffer

    def draw_above(self, screen: LiveScreen) -> None:
        """Show the growing line of ``screen`` above the input."""
        self._screen = screen

    async def read(self, prefill: str) -> str:
        """The next line, which may hold several; raises ``EOFError`` for Ctrl-D on an empty one."""
        return await self._prompts.prompt_async(default=prefill, handle_sigint=False)

    def refresh(self) -> None:
        """Something in the bar may have changed."""
        self.app.invalidate()

    @property
    def columns(self) -> int:
        """Width of the terminal."""
        return max(1, self.app.output.get_size().columns)

    def _message(self) -> StyleAndTextTuples:
        tail = self._screen.tail(self.columns) if self._screen is not None else ""
        return [("", tail), ("class:prompt", PROMPT)]

    def _bar(self) -> str:
        session = self._session
        statuses = session.status()
        parts = [replicas(name, [s for s in statuses if s.model == name]) for name in session.comparison]
        parts = [work.words for work in session.background.works] + parts
        queued = session.coordinator.queued()
        parts += [f"{queued:,} queued"] if queued else []
        parts += [settings(session.effective(session.comparison[0]))] if session.comparison else []
        return cut("   ".join(parts), self.columns - 1)

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=typing)
        @keys.add("c-j", filter=typing)  # what Enter sends between two prompts, when the terminal is cooked
        def _(event: KeyPressEvent) -> None:
            """Send the line; in the menu, take what is chosen there."""
            buffer = event.current_buffer
            if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
                buffer.complete_state = None
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            """Begin another line of the same prompt."""
            event.current_buffer.newline(copy_margin=False)

        @keys.add("c-c", filter=typing, eager=True)  # on dumb terminals the library's own would come first
        def _(event: KeyPressEvent) -> None:
            """Stop the answer, or clear the line; never leave."""
            self._interrupt()

        return keys


class Commands(Completer):
    """Completes commands, their arguments and ``@`` names."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the session offers for the text before the cursor."""
        line = document.text_before_cursor
        for offer in commands.complete(self._session, line):
            yield Completion(
                offer.text,
                start_position=offer.start - len(line),
                display=visible_line(offer.text),
                display_meta=visible_line(offer.help),
            )


class Lines(History):
    """The lines typed in this and earlier sessions. The session writes them down itself."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    async def load(self) -> AsyncGenerator[str, None]:
        """The newest first."""
        if not self._loaded:
            self._loaded_strings = (await self._session.store.lines())[::-1]
            self._loaded = True
        for line in self._loaded_strings:
            yield line

    def load_history_strings(self) -> Iterable[str]:
        """Not used: ``load`` does not block."""
        return ()

    def store_string(self, string: str) -> None:
        """The session has stored it."""
