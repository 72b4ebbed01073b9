"""A session as Markdown: a heading for each line, each answer in a code block."""

import re
from collections.abc import Sequence

from repl.probe.figure import Figure, as_text
from repl.safe import visible, visible_line
from repl.session.exchange import Exchange
from repl.session.export.lines import by_line, facts, warnings

_TICKS = re.compile("`+")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")


WIDTH = 100
"""Cells of a figure's rows."""


def render(exchanges: Sequence[Exchange], figures: Sequence[Figure] = ()) -> str:
    """The text of the file."""
    parts = ["# multigpu-repl"]
    for group in by_line(exchanges):
        first = group[0]
        numbers = ", ".join(f"#{x.id}" for x in group)
        parts += [f"## {numbers}", f"{first.created:%Y-%m-%d %H:%M:%S} UTC", fenced(first.prompt)]
        if first.system:
            parts += ["System prompt:", fenced(first.system)]
        for x in group:
            parts.append(f"### {plain(x.model)}")
            if x.answer.text:
                parts.append(fenced(x.answer.text))
            parts += [plain(" · ".join(facts(x)))] + [f"> {plain(text)}" for text in warnings(x)]
    for figure in figures:
        parts += [f"## {plain(figure.title)}", fenced(as_text(figure.rows(WIDTH)))]
    return "\n\n".join(parts) + "\n"


def fenced(text: str) -> str:
    """``text`` in a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def plain(text: str) -> str:
    """``text`` on one line, with nothing in it read as markup."""
    return _MARKUP.sub(r"\\\1", visible_line(text))
