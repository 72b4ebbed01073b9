"""Markdown, drawn lightly: headings, lists, quotations and code; everything else stays as it was written."""

import re

from repl.safe import visible
from repl.tui.views.lines import Line, Span

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)\s*#*$")
_ITEM = re.compile(r"(\s*)(?:[-*+]|(\d{1,9}[.)]))\s+(.*)$")
_QUOTATION = re.compile(r" {0,3}>\s?(.*)$")
_RULE = re.compile(r" {0,3}([-*_])(?:\s*\1){2,}\s*$")
_INLINE = re.compile(r"`([^`]+)`|\*\*(\S(?:.*?\S)?)\*\*")
BULLET = "• "
BAR = "│ "
RULE = "─" * 12


def lines(text: str) -> list[Line]:
    """``text``, made safe, line by line."""
    made: list[Line] = []
    fence = ""
    for line in visible(text).rstrip("\n").split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            else:
                made.append(Line(line, lead=BAR, lead_style="muted"))
        elif mark is not None:
            fence = mark[1]
        else:
            made.append(_line(line))
    return made


def _line(line: str) -> Line:
    if (heading := _HEADING.match(line)) is not None:
        return Line(heading[1], "title")
    if _RULE.match(line) is not None:
        return Line(RULE, "muted")
    if (item := _ITEM.match(line)) is not None:
        lead = item[1] + (f"{item[2]} " if item[2] else BULLET)
        return _inline(item[3], lead)
    if (quotation := _QUOTATION.match(line)) is not None:
        return _inline(quotation[1], BAR, "muted")
    return _inline(line, "")


def _inline(text: str, lead: str, style: str = "") -> Line:
    parts: list[str] = []
    spans: list[Span] = []
    at = size = 0
    for match in _INLINE.finditer(text):
        plain, inner = text[at : match.start()], match[1] or match[2]
        start = size + len(plain)
        spans.append(Span(start, start + len(inner), "strong" if match[1] else "name"))
        parts += (plain, inner)
        at, size = match.end(), start + len(inner)
    return Line("".join((*parts, text[at:])), style, lead, lead_style="muted", spans=spans)
