"""A session as one self-contained page: each line with its answers side by side, light or dark as the
reader's system is. Nothing in it is loaded from elsewhere, and no script runs."""

from collections.abc import Sequence
from html import escape

from repl.safe import visible
from repl.session.exchange import Exchange
from repl.session.export.lines import by_line, facts, warnings

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --quiet: #60646c; --paper: #fcfcfd;
  --edge: #d9d9e0; --warn: #ad5700; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --quiet: #b0b4ba; --paper: #111113; --edge: #363a3f; --warn: #ffa057; }
}
body { margin: 2rem auto; max-width: 100rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.1rem; } h2 { margin: 0; font-size: 1rem; }
section { margin: 2rem 0; border-top: 1px solid var(--edge); padding-top: 1rem; }
pre { margin: .5rem 0; font: 14px/1.5 ui-monospace, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre.prompt::before { content: "> "; color: var(--quiet); }
.answers { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
.facts, time { color: var(--quiet); font-size: .85rem; }
.warning { color: var(--warn); font-size: .85rem; }
""".strip()

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>multigpu-repl</title>
<style>
{style}
</style>
</head>
<body>
<h1>multigpu-repl</h1>
{body}
</body>
</html>
"""


def render(exchanges: Sequence[Exchange]) -> str:
    """The page."""
    return _PAGE.format(style=_STYLE, body="\n".join(_line(group) for group in by_line(exchanges)))


def _line(group: Sequence[Exchange]) -> str:
    first = group[0]
    system = f'<pre class="facts">{_safe(first.system)}</pre>\n' if first.system else ""
    answers = "\n".join(_answer(x) for x in group)
    return (
        f"<section>\n<time>{first.created:%Y-%m-%d %H:%M:%S} UTC</time>\n{system}"
        f'<pre class="prompt">{_safe(first.prompt)}</pre>\n'
        f'<div class="answers">\n{answers}\n</div>\n</section>'
    )


def _answer(x: Exchange) -> str:
    notes = "".join(f'<p class="warning">{_safe(text)}</p>\n' for text in warnings(x))
    return (
        f'<article id="answer-{x.id}">\n<h2>{_safe(x.model)} #{x.id}</h2>\n'
        f"<pre>{_safe(x.answer.text)}</pre>\n{notes}"
        f'<p class="facts">{_safe(" · ".join(facts(x)))}</p>\n</article>'
    )


def _safe(text: str) -> str:
    return escape(visible(text))
