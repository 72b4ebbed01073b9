"""The output of one model as the input of the next."""

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from repl.probe.chain import Chain, Fault, Hop, Stage, check, fill, join, parse
from repl.session.commands.base import Command, model_offers, one_model
from repl.session.commands.probing.asking import last_prompt, plain
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.frontend import FrontEnd, Notice
from repl.session.inquiry import inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

USAGE = '/chain a>b PROMPT, /chain a>"Summarise: {}">b PROMPT, /chain (a,b)>c PROMPT'


async def _chain(session: "Session", ui: FrontEnd, argument: str) -> None:
    name, _, rest = argument.partition(" ")
    if name in session.config.chains:
        argument = f"{session.config.chains[name]} {rest.strip()}"
    stages, prompt = _stages(session, argument)
    prompt = prompt or last_prompt(session)
    hops: list[Hop] = []
    text = ""
    try:
        text = await _pass(session, ui, stages, prompt, hops)
    finally:
        if hops:
            ui.show(Chain(prompt=prompt, hops=tuple(hops), text=text))


def _stages(session: "Session", argument: str) -> tuple[tuple[Stage, ...], str]:
    try:
        stages, prompt = parse(argument)
        if len(stages) == 1 and stages[0].template == "{}":
            raise Fault(f"{' and '.join(stages[0].models)} alone is not a chain")
        stages = tuple(
            msgspec.structs.replace(stage, models=tuple(one_model(session, name) for name in stage.models))
            for stage in stages
        )
        check(stages)
    except Fault as fault:
        raise InputError(str(fault), USAGE) from None
    return stages, prompt


async def _pass(
    session: "Session", ui: FrontEnd, stages: "Sequence[Stage]", prompt: str, hops: list[Hop]
) -> str:
    """Take ``prompt`` through the stages; ``hops`` grows. Returns what comes out; raises ``InputError``."""
    given, before = prompt, None
    outputs: dict[str, str] = {}
    for number, stage in enumerate(stages):
        asked = fill(stage.template, given, prompt, outputs)
        origin = Origin(before, how="chain")
        inquiries = [
            replace(plain(session, model, asked), origin=origin, shown=True) for model in stage.models
        ]
        made: list[Exchange] = []
        try:
            await inquire(session, inquiries, made)
        finally:
            hops += [hop(number, x) for x in made]
        wrote = {x.model: x.answer.text.strip() for x in made if x.state == "finished"}
        wrote = {model: text for model, text in wrote.items() if text}
        _missing(ui, number, len(stages), [x for x in made if x.model not in wrote], alone=not wrote)
        outputs |= wrote
        given, before = join(wrote), next(x.id for x in made if x.model in wrote)
    return given


def _missing(ui: FrontEnd, number: int, stages: int, silent: "Sequence[Exchange]", *, alone: bool) -> None:
    """Tell of the models that gave nothing to pass on; raises ``InputError`` if none gave anything."""
    for x in silent:
        why = x.error.message if x.error is not None else "wrote nothing" if x.done else "was stopped"
        words = f"stage {number + 1} of {stages}: {x.model} #{x.id}: {why}"
        hint = x.error.hint if x.error is not None else ""
        if alone and x is silent[-1]:
            raise InputError(words, hint or "there is nothing to pass on")
        ui.show(Notice("warning", words, hint))


def hop(stage: int, exchange: "Exchange") -> Hop:
    """A model's part as the figure shows it."""
    return Hop(
        stage=stage,
        model=exchange.model,
        exchange=exchange.id,
        prompt=exchange.prompt,
        text=exchange.answer.text,
        error=exchange.error.message if exchange.error is not None else "",
    )


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if before:
        return
    yield from session.config.chains.items()
    done = max(begun.rfind(sign) for sign in ">(,") + 1
    for name, help in model_offers(session, (), ""):
        yield begun[:done] + name, help


COMMANDS = (
    Command(
        name="chain",
        usage='a>b>c PROMPT | a>"TEXT {}">b PROMPT | (a,b)>c PROMPT',
        help="give the output of one model to the next",
        details=(
            "/chain lm-early>lm-late The with statement has the second read what the first one writes. A "
            "quoted text between two models is what the next one is asked: {} stands for the output, "
            "{prompt} for the first prompt, {NAME} for a certain model's output. Models in brackets answer "
            "independently, at the same time, and their answers go on together, labelled. Each hop is an "
            "answer in its model's pane and in the record. A configuration may name chains under `chains:`; "
            "/chain NAME PROMPT."
        ),
        handler=_chain,
        offers=_offers,
        slow=True,
    ),
)
