"""A session as one self-contained page: each line with its answers side by side, light or dark as the
reader's system is. Nothing in it is loaded from elsewhere, and no script runs."""

import math
from collections.abc import Sequence
from html import escape

from repl.messages import Step
from repl.probe.figure import Figure, Span, heat, nats_to_bits, piece_text
from repl.safe import visible
from repl.session.exchange import Exchange
from repl.session.export.lines import by_line, facts, warnings

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --quiet: #60646c; --paper: #fcfcfd;
  --edge: #d9d9e0; --warn: #ad5700; --good: #218358; --bad: #ce2c31; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --quiet: #b0b4ba; --paper: #111113; --edge: #363a3f; --warn: #ffa057;
  --good: #3dd68c; --bad: #ff9592; }
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
pre.figure { white-space: pre; overflow-x: auto; }
.strong, .heading { font-weight: 600; } .muted { color: var(--quiet); }
.good, .added { color: var(--good); } .bad, .removed { color: var(--bad); }
.changed { color: var(--warn); } .added, .changed { text-decoration: underline; }
.removed { text-decoration: line-through; } .chosen { outline: 1px solid currentColor; }
.heat1 { background: #00005f; color: #fff; } .heat2 { background: #000087; color: #fff; }
.heat3 { background: #5f0087; color: #fff; } .heat4 { background: #87005f; color: #fff; }
.heat5 { background: #af005f; color: #fff; } .heat6 { background: #d75f00; color: #000; }
.heat7 { background: #ffd700; color: #000; }
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


WIDTH = 120
"""Cells of a figure's rows."""


def render(exchanges: Sequence[Exchange], figures: Sequence[Figure] = ()) -> str:
    """The page: the lines with their answers, then the figures."""
    parts = [*(_line(group) for group in by_line(exchanges)), *map(_figure, figures)]
    return _PAGE.format(style=_STYLE, body="\n".join(parts))


def _figure(figure: Figure) -> str:
    rows = "\n".join("".join(map(_span, row)) for row in figure.rows(WIDTH))
    return f'<section>\n<h2>{_safe(figure.title)}</h2>\n<pre class="figure">{rows}</pre>\n</section>'


def _span(span: Span) -> str:
    text = _safe(span.text)
    return f'<span class="{span.style}">{text}</span>' if span.style else text


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
        f"<pre>{_text(x)}</pre>\n{notes}"
        f'<p class="facts">{_safe(" · ".join(facts(x)))}</p>\n</article>'
    )


def _text(x: Exchange) -> str:
    """The answer; tokens with a log-probability in its colour, with their figures on hovering."""
    steps = x.answer.steps
    scored = any(step.raw_lp is not None for step in steps)
    if not scored or "".join(step.text for step in steps) != x.answer.text:
        return _safe(x.answer.text)
    return "".join(_token(step) for step in steps if step.text)


def _token(step: Step) -> str:
    if step.raw_lp is None:
        return _safe(step.text)
    bits = -nats_to_bits(step.raw_lp)
    words = [f"{bits:.2f} bits"]
    words += [f"rank {step.rank}"] if step.rank is not None else []
    words += [f"entropy {nats_to_bits(step.entropy):.2f} bits"] if step.entropy is not None else []
    words += [f"{piece_text(piece)} {math.exp(lp):.3f}" for _, lp, piece in step.top]
    return f'<span class="{heat(bits)}" title="{_safe(" · ".join(words))}">{_safe(step.text)}</span>'


def _safe(text: str) -> str:
    return escape(visible(text))
