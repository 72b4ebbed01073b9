"""Models one after another: what each was given and what it made of it."""

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from repl.probe.figure import Figure, Row, Span
from repl.probe.table import cut
from repl.safe import visible_line

_LINK = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|\(([^()]*)\)|([^\s>"(),]+))\s*')
_SLOT = re.compile(r"\{([\w.+-]*)\}")
PROMPT = "prompt"
"""The slot of a template that stands for what the chain was given."""


class Fault(Exception):
    """A chain that cannot be read."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Models that answer the same prompt, independently of each other."""

    models: tuple[str, ...]
    template: str = "{}"
    """What they are asked: ``{}`` is the output of the stage before, ``{prompt}`` what the chain was given,
    ``{NAME}`` the output of a model before."""


def parse(text: str) -> tuple[tuple[Stage, ...], str]:
    """``a > "Summarise: {}" > (b,c) > d PROMPT`` as stages and the prompt; raises ``Fault``."""
    stages: list[Stage] = []
    template: str | None = None
    at = 0
    while True:
        match = _LINK.match(text, at)
        if match is None:
            raise Fault("a model's name is missing" if stages or template else "which models?")
        at = match.end()
        more = text.startswith(">", at)
        if match[1]:
            if template is not None or not more:
                raise Fault(f"{match[1]} must be followed by > and a model")
            template = _unquoted(match[1])
        else:
            names = [name.strip() for name in (match[2] or match[3]).split(",")]
            if not all(names):
                raise Fault(f"a model's name is missing in ({match[2]})")
            stages.append(Stage(models=tuple(dict.fromkeys(names)), template=template or "{}"))
            template = None
        if not more:
            return tuple(stages), text[at:].strip()
        at += 1


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def check(stages: Sequence[Stage]) -> None:
    """Refuse templates with slots that nothing fills, or without one; raises ``Fault``."""
    before: set[str] = set()
    for stage in stages:
        slots = _SLOT.findall(stage.template)
        known = {"", PROMPT, *before}
        if not slots:
            raise Fault(f"the template '{stage.template}' has no {{}} for what goes in")
        for slot in slots:
            if slot not in known:
                names = ", ".join(f"{{{name}}}" for name in sorted(known))
                raise Fault(f"nothing before fills {{{slot}}}: there are {names}")
        before |= set(stage.models)


def fill(template: str, given: str, prompt: str, outputs: Mapping[str, str]) -> str:
    """The template with its slots filled; what fills them is not read for slots again."""
    known = {**outputs, "": given, PROMPT: prompt}
    return _SLOT.sub(lambda match: known.get(match[1], match[0]), template)


def join(outputs: Mapping[str, str]) -> str:
    """The outputs of a stage as one text: several are labelled by their models."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return "\n\n".join(f"{model}: {text}" for model, text in outputs.items())


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One model's part."""

    stage: int
    model: str
    exchange: int
    """Its number in the record."""
    prompt: str
    text: str
    error: str = ""


class Chain(Figure, frozen=True, kw_only=True):
    """What went through a chain."""

    name = "chain"

    prompt: str
    hops: tuple[Hop, ...]
    text: str
    """What came out at the end."""

    @property
    def title(self) -> str:
        """The models in order."""
        stages = dict.fromkeys(hop.stage for hop in self.hops)
        parts = [[hop.model for hop in self.hops if hop.stage == stage] for stage in stages]
        return " > ".join(p[0] if len(p) == 1 else f"({','.join(p)})" for p in parts)

    def rows(self, width: int) -> Sequence[Row]:
        """What went in, and below each hop what came out."""
        found: list[Row] = [(Span(cut(f"> {_line(self.prompt)}", width), "muted"),)]
        for hop, after in zip(self.hops, (*self.hops[1:], None), strict=True):
            more = after is not None and after.stage == hop.stage
            lead = f"{'  ' * hop.stage}{'├─' if more else '└─'} {visible_line(hop.model)} #{hop.exchange} "
            text = Span(f"✗ {_line(hop.error)}", "bad") if hop.error else Span(_line(hop.text))
            found.append((Span(lead, "strong"), Span(cut(text.text, max(8, width - len(lead))), text.style)))
        return found


def _line(text: str) -> str:
    return visible_line(" ".join(text.split()))
