"""One prompt under a grid of settings, on every replica."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repl.params import PARAMETERS, ParamError, Value, parameter, parse
from repl.probe.figure import nats_to_bits, plural
from repl.probe.grid import Grid, Sample, cell
from repl.session.commands.base import Command, say
from repl.session.commands.probing.asking import last_prompt, prompted
from repl.session.decoding import fresh_seed, level
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice
from repl.session.inquiry import Inquiry, inquire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

MOST = 2000
"""Answers of one sweep."""
USAGE = "/sweep temperature=.2,.7 top_p=.9,1 n=4 [PROMPT]"
_ASSIGNMENT = re.compile(r"([\w-]+)=(\S+)\Z")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep asks for."""

    axes: dict[str, tuple[Value, ...]]
    samples: int
    prompt: str

    @property
    def settings(self) -> list[dict[str, Value]]:
        """Every combination, the last axis fastest."""
        return [
            dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())
        ]


def plan(argument: str) -> Plan:
    """Reads ``temperature=.2,.7 n=4 PROMPT``; raises ``InputError``."""
    axes: dict[str, tuple[Value, ...]] = {}
    samples, rest = 1, argument
    while rest:
        word, _, after = rest.partition(" ")
        match = _ASSIGNMENT.match(word)
        if word == "--":
            rest = after
            break
        if match is None:
            break
        try:
            name, values = _axis(match[1], match[2])
        except ParamError as error:
            raise InputError(
                str(error), f"{USAGE}; a prompt with = in its first word comes after --"
            ) from None
        if name in axes:
            raise InputError(f"{name} is there twice", USAGE)
        if name == "n":
            samples = _samples(values)
        else:
            axes[name] = values
        rest = after.lstrip()
    return Plan(axes=axes, samples=samples, prompt=rest.strip())


def _axis(name: str, text: str) -> tuple[str, tuple[Value, ...]]:
    known = parameter(name)
    if known.kind not in ("int", "float", "choice"):
        raise ParamError(f"{known.name} cannot be swept over: /set {known.name} fixes it for all")
    return known.name, tuple(dict.fromkeys(parse(known.name, item) for item in text.split(",") if item))


def _samples(values: tuple[Value, ...]) -> int:
    if len(values) != 1 or not isinstance(values[0], int):
        raise InputError("n is how many samples each setting gets: one number", USAGE)
    return values[0]


async def _sweep(session: "Session", ui: FrontEnd, argument: str) -> None:
    wanted = plan(argument)
    if not wanted.axes and wanted.samples == 1:
        raise InputError("what is to be varied?", USAGE)
    models = _able(session, ui, wanted)
    prompt = wanted.prompt or last_prompt(session)
    seed = next(s for s in (session.settings.get("seed"), fresh_seed()) if isinstance(s, int))
    # All of one sample before the next: a sweep that is stopped has as much of each setting.
    grid = [
        (model, setting, sample)
        for sample in range(wanted.samples)
        for model in models
        for setting in wanted.settings
    ]
    if len(grid) > MOST:
        raise InputError(
            f"that is {len(grid):,} answers; the most is {MOST:,}", "vary fewer settings, or lower n"
        )
    say(ui, _size(session, wanted, models), "/stop ends it and keeps what is there")
    bases = dict(zip(models, prompted(session, models, wanted.prompt), strict=True))
    asked = [_inquiry(bases[model], setting, seed, sample) for model, setting, sample in grid]
    made: list[Exchange] = []
    try:
        await inquire(session, asked, made)
    finally:
        ui.show(_grid(wanted, prompt, seed, grid, made))


def _able(session: "Session", ui: FrontEnd, wanted: Plan) -> list[str]:
    """The chosen models that can honour what is varied; raises ``InputError`` if none can."""
    lacking = {
        model: [name for name in wanted.axes if level(session.models[model].backend, name).level == "none"]
        for model in session.comparison
    }
    able = [model for model, names in lacking.items() if not names]
    if not able:
        what = "; ".join(f"{model} cannot honour {', '.join(names)}" for model, names in lacking.items())
        raise InputError(what or "no model is chosen", "/params shows what each model can do")
    for model, names in lacking.items():
        if names:
            ui.show(Notice("warning", f"{model} cannot honour {', '.join(names)}: it is left out"))
    return able


def _size(session: "Session", wanted: Plan, models: Sequence[str]) -> str:
    settings, count = len(wanted.settings), len(wanted.settings) * wanted.samples * len(models)
    replicas = sum(s.model in models and s.state in ("ready", "busy") for s in session.status())
    return (
        f"{plural(count, 'answer')}: {plural(settings, 'setting')} × {plural(wanted.samples, 'sample')}"
        f" × {plural(len(models), 'model')}, on {plural(replicas, 'replica')}"
    )


def _inquiry(base: Inquiry, setting: dict[str, Value], seed: int, sample: int) -> Inquiry:
    params: dict[str, Value] = {"seed": seed, **base.params, "n": 1, **setting}
    return replace(base, params=params, sample=sample)


def _grid(
    wanted: Plan,
    prompt: str,
    seed: int,
    grid: "Sequence[tuple[str, dict[str, Value], int]]",
    made: "Sequence[Exchange]",
) -> Grid:
    """What there is by now, a cell for each model and setting."""
    groups: dict[tuple[str, tuple[tuple[str, Value], ...]], list[Sample]] = {}
    for (model, setting, _), exchange in zip(grid, made, strict=False):
        groups.setdefault((model, tuple(setting.items())), []).append(sampled(exchange))
    return Grid(
        prompt=prompt,
        seed=None if "seed" in wanted.axes else seed,
        axes=tuple((name, tuple(map(str, values))) for name, values in wanted.axes.items()),
        cells=tuple(cell(model, dict(setting), found) for (model, setting), found in groups.items()),
        wanted=len(grid),
        notes=notes(made),
    )


def notes(exchanges: "Sequence[Exchange]") -> tuple[str, ...]:
    """What is to be said about any of them, why it failed included; each sentence once."""
    said = (note for x in exchanges for note in x.notes)
    faults = (f"{x.model}: {x.error.message}" for x in exchanges if x.error is not None)
    return tuple(dict.fromkeys((*said, *faults)))


def sampled(exchange: "Exchange") -> Sample:
    """An exchange as one of several samples."""
    told = [step.raw_lp for step in exchange.answer.steps if step.raw_lp is not None]
    whole = bool(told) and len(told) == len(exchange.answer.steps)
    return Sample(
        exchange=exchange.id,
        text=exchange.answer.text,
        tokens=len(exchange.answer.steps),
        bits=-nats_to_bits(sum(told)) / len(told) if whole else None,
        state="stopped" if exchange.finish == "" else exchange.state,
    )


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if all("=" in word for word in before):
        for name, known in PARAMETERS.items():
            if known.kind in ("int", "float", "choice"):
                yield f"{name}=", known.help


COMMANDS = (
    Command(
        name="sweep",
        usage="NAME=VALUE,VALUE ... [n=N] [PROMPT]",
        help="ask a prompt under every combination of settings, on all replicas",
        details=(
            "/sweep temperature=.2,.7 top_p=.9,1 n=4 The cat asks the chosen models 16 times each. Without a "
            "prompt it takes the last one. All cells share a seed, and sample 0, 1 ... of each draw with the "
            "same noise; at temperature 0 they are equal. distinct-1 and -2 are the share of different "
            "words and word pairs, bits/tok the mean surprisal under the model itself at temperature 1. "
            "/stop keeps what is there; the answers are in the record by their numbers."
        ),
        handler=_sweep,
        offers=_offers,
        slow=True,
    ),
)
