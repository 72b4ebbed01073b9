"""Every key of the app, as data: the bindings are made of these tables, and so is the help screen.

The keys of readline and of the terminal keep their meaning in the prompt; what moves between panes is on keys
that neither of them uses.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual.binding import Binding, BindingType


class Key(NamedTuple):
    """One line of a table."""

    keys: str
    """In Textual's names, separated by commas."""
    action: str
    help: str
    shown: str
    """The keys as people write them."""
    priority: bool = False
    """Taken before the focused widget sees it."""


APP = (
    Key(
        "ctrl+c",
        "interrupt",
        "copy the selection; else stop all answers; else clear the input",
        "Ctrl+C",
        True,
    ),
    Key("escape", "escape", "close what is open; else stop the answer of this pane", "Esc"),
    Key("ctrl+d", "leave_if_empty", "leave, when the input is empty", "Ctrl+D"),
    Key("ctrl+q", "leave", "leave", "Ctrl+Q", True),
    Key("f1", "help", "this help", "F1, or ? in a pane"),
    Key("ctrl+p", "command_palette", "palette: commands, models, themes", "Ctrl+P", True),
    Key("f2,alt+z", "zoom", "one pane alone, and back", "F2, Alt+Z"),
    Key("f3", "tokens", "walk the tokens of the last answer, and what else the model thought of", "F3"),
    Key("f4", "heat", "colour the tokens by surprisal, rank, entropy, or not at all", "F4"),
    Key("f5", "link", "scroll all panes together, and no longer", "F5"),
    Key("f6", "next_pane(1)", "next pane", "F6, Tab"),
    Key("shift+f6", "next_pane(-1)", "previous pane", "Shift+F6, Shift+Tab"),
    Key("ctrl+l", "redraw", "draw the screen anew", "Ctrl+L", True),
    *(Key(f"alt+{n}", f"pane({n})", "", "") for n in range(1, 10)),
)
"""Everywhere."""

PANE_NUMBERS = Key("", "", "go to a pane by its place", "Alt+1 … Alt+9")

VIEW = (
    Key("pageup", "pages(-1)", "a page up", "PageUp"),
    Key("pagedown", "pages(1)", "a page down", "PageDown"),
    Key("up", "rows(-1)", "a line up", "Up"),
    Key("down", "rows(1)", "a line down", "Down"),
    Key("home", "to_start", "to the first line", "Home"),
    Key("end", "to_end", "to the last line, and follow it", "End"),
)
"""In a pane, and in any other text that scrolls."""

PANE = (
    Key("tab,ctrl+right,ctrl+down", "app.next_pane(1)", "next pane", ""),
    Key("shift+tab,ctrl+left,ctrl+up", "app.next_pane(-1)", "previous pane", ""),
    Key("enter", "app.focus('prompt')", "back to the prompt (typing goes there too)", "Enter"),
    Key("question_mark", "app.help", "", ""),
)
"""In a pane."""

DRAWER = (
    Key("left", "columns(-8)", "to the left, where lines are too wide", "Left"),
    Key("right", "columns(8)", "to the right", "Right"),
    Key("f2,alt+z", "app.zoom", "most of the screen, and back", "F2"),
    Key("tab", "app.next_pane(1)", "", ""),
    Key("shift+tab", "app.next_pane(-1)", "", ""),
    Key("enter", "app.focus('prompt')", "", ""),
    Key("question_mark", "app.help", "", ""),
)
"""In the drawer, where F6 leads while it is open."""

TOKENS = (
    Key("left,ctrl+b", "walk(-1)", "the token before", "Left"),
    Key("right,ctrl+f", "walk(1)", "the next token", "Right"),
    Key("ctrl+left,alt+b,b", "word(-1)", "the word before", "Ctrl+Left, b"),
    Key("ctrl+right,alt+f,w", "word(1)", "the next word", "Ctrl+Right, w"),
    Key("home,ctrl+a", "go(0)", "the first token", "Home"),
    Key("end,ctrl+e", "go(-1)", "the last token", "End"),
    Key("up", "pick_next(-1)", "a likelier alternative", "Up"),
    Key("down", "pick_next(1)", "a less likely alternative", "Down"),
    *(Key(str(n), f"pick({n})", "", "") for n in range(1, 10)),
    Key("", "", "the alternative with that number", "1 … 9"),
    Key("enter", "branch", "branch: go on from here with the alternative", "Enter"),
    Key("h", "hand_on", "let another model go on from here", "h"),
    Key("c", "copy_token", "copy the token", "c"),
    Key("f", "lacking", "score the answer, where its alternatives were not kept", "f"),
    Key("escape,q,f3", "leave_tokens", "leave the tokens", "Esc"),
)
"""In a pane, while the cursor is on a token."""

PROMPT = (
    Key("enter", "send", "send", "Enter"),
    Key("shift+enter,alt+enter,ctrl+j", "newline", "new line", "Shift+Enter, Alt+Enter, Ctrl+J"),
    Key("tab", "complete", "complete; with nothing to complete, next pane", "Tab"),
    Key("shift+tab", "previous", "previous completion or pane", "Shift+Tab"),
    Key("up", "up", "line up; at the first line, earlier input", "Up"),
    Key("down", "down", "line down; at the last line, later input", "Down"),
    Key("ctrl+r", "search", "search earlier input; again for an older one", "Ctrl+R"),
    Key("pageup", "app.pages(-1)", "scroll the answers up", "PageUp"),
    Key("pagedown", "app.pages(1)", "scroll the answers down", "PageDown"),
    Key("f6", "app.next_pane(1)", "", ""),
    Key("ctrl+a", "cursor_line_start", "start of the line", "Ctrl+A, Home"),
    Key("ctrl+e", "cursor_line_end", "end of the line", "Ctrl+E, End"),
    Key("ctrl+b", "cursor_left", "", ""),
    Key("ctrl+f", "cursor_right", "", ""),
    Key("alt+b,ctrl+left", "word(-1)", "word to the left", "Alt+B, Ctrl+Left"),
    Key("alt+f,ctrl+right", "word(1)", "word to the right", "Alt+F, Ctrl+Right"),
    Key("alt+backspace", "kill('word_left')", "", ""),
    Key("ctrl+w", "kill('blank_left')", "cut the word to the left", "Ctrl+W"),
    Key("alt+d", "kill('word_right')", "cut the word to the right", "Alt+D"),
    Key("ctrl+u", "kill('to_start_of_line')", "cut to the start of the line", "Ctrl+U"),
    Key("ctrl+k", "kill('to_end_of_line')", "cut to the end of the line", "Ctrl+K"),
    Key("ctrl+y", "yank", "paste what was cut", "Ctrl+Y"),
    Key("ctrl+d", "delete_or_leave", "delete; on an empty input, leave", ""),
    Key("ctrl+h", "delete_left", "", ""),
    Key("ctrl+underscore", "undo", "undo", "Ctrl+_, Ctrl+Z"),
)
"""In the prompt."""

MOUSE = (
    ("wheel", "scroll what is under the pointer"),
    ("click in a pane", "put the cursor on a token; the first click chooses the pane"),
    ("drag, then Ctrl+C", "select and copy"),
    ("Shift + drag", "the terminal's own selection, in most terminals"),
)


def bindings(keys: Sequence[Key]) -> list[BindingType]:
    """Textual's bindings for a table."""
    return [Binding(k.keys, k.action, k.help, show=False, priority=k.priority) for k in keys if k.keys]


def actions(table: Iterable[BindingType]) -> dict[str, str]:
    """Key to action, for a widget that looks its keys up itself."""
    made = Binding.make_bindings(table)
    return {binding.key: binding.action for binding in made}


def described(keys: Sequence[Key]) -> list[tuple[str, str]]:
    """(keys, help) of a table, for the help screen."""
    return [(k.shown, k.help) for k in keys if k.shown]
