"""Commands about settings: parameters, the system prompt, chat templates."""

from typing import TYPE_CHECKING

from repl.params import PARAMETERS, TEXTS, ParamError, parameter, parse
from repl.session.commands.base import Command, model_offers, one_model, say
from repl.session.decoding import level, show
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Notice, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session

DIFFERS = "≠"
UNSUPPORTED = "—"


async def _set(session: "Session", ui: FrontEnd, argument: str) -> None:
    name, _, text = argument.replace("=", " ", 1).partition(" ") if argument else ("", "", "")
    text = text.strip()
    if not name:
        ui.show(_settings_table(session))
        return
    try:
        known = parameter(name)
        if not text:
            value = session.settings.get(known.name, known.default)
            origin = "set" if known.name in session.settings else "not set; each model has its own default"
            say(ui, f"{known.name} = {show(value)} ({origin})", f"{known.help}; {known.allowed()}")
            return
        if text.lower() == "default":
            session.settings.pop(known.name, None)
            say(ui, f"{known.name} is back at each model's default")
            return
        session.set(known.name, parse(known.name, text))
    except ParamError as error:
        raise InputError(str(error), "/set lists the parameters") from None
    say(ui, f"{known.name} = {show(session.settings[known.name])}")
    for notice in _doubts(session, known.name):
        ui.show(notice)


def _doubts(session: "Session", name: str) -> "Iterable[Notice]":
    """What to know about a parameter that was just set, for each chosen model."""
    alone = len(session.comparison) == 1
    for model in session.comparison:
        backend = session.models[model].backend
        support = level(backend, name)
        if support.level == "differs":
            yield Notice("info", f"{DIFFERS} {model}: {support.note or support.native}")
        elif name in session.decoding(model).ignored:
            what = "it will refuse lines" if alone else "its answers will be marked"
            yield Notice(
                "warning",
                f"{model} ({backend}) cannot honour {name}: {what}",
                f"/set {name} default goes back",
            )


def _settings_table(session: "Session") -> Table:
    rows = tuple(
        (name, show(session.settings[name]) if name in session.settings else "", p.help, p.allowed())
        for name, p in PARAMETERS.items()
    )
    notes = ("/set NAME VALUE, /set NAME default; /params shows what each model makes of it",)
    return Table("settings", ("parameter", "set to", "meaning", "allowed"), rows, notes)


def _set_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield from ((name, p.help) for name, p in PARAMETERS.items())
    elif len(before) == 1 and before[0] in PARAMETERS:
        known = PARAMETERS[before[0]]
        yield from ((choice, known.help) for choice in known.choices)
        if known.optional or known.kind in TEXTS:
            yield "none", known.help
        yield "default", "each model's own"


async def _params(session: "Session", ui: FrontEnd, argument: str) -> None:
    models = [one_model(session, word) for word in argument.split()] or session.comparison
    rows = tuple((name, *(_cell(session, model, name) for model in models)) for name in PARAMETERS)
    notes = [f"{DIFFERS} {note}" for note in dict.fromkeys(_notes(session, models))]
    notes.append(f"(set) by /set, (config) by the configuration; {UNSUPPORTED}: the backend does not have it")
    ui.show(Table("effective parameters", ("parameter", *models), rows, tuple(notes)))


def _cell(session: "Session", model: str, name: str) -> str:
    config, plan = session.models[model], session.decoding(model)
    support = level(config.backend, name)
    origin = " (set)" if name in session.settings else " (config)" if name in config.defaults else ""
    if support.level == "none":
        ignored = f" not {show(plan.requested[name])}{origin}" if name in plan.ignored else ""
        return UNSUPPORTED + ignored
    mark = f" {DIFFERS}" if support.level == "differs" else ""
    value = getattr(plan.params, name)
    drawn = name == "seed" and value is None
    return ("fresh for each line" if drawn else show(value)) + origin + mark


def _notes(session: "Session", models: "Sequence[str]") -> "Iterable[str]":
    for model in models:
        backend = session.models[model].backend
        for name in PARAMETERS:
            support = level(backend, name)
            if support.level == "differs":
                yield f"{name} ({backend}): {support.note or support.native}"


async def _system(session: "Session", ui: FrontEnd, argument: str) -> None:
    if not argument:
        text = f"the system prompt is: {session.system}" if session.system else "there is no system prompt"
        say(ui, text, "/system TEXT sets it, /system off removes it")
        return
    session.system = "" if argument == "off" else argument
    say(ui, "the system prompt is set" if session.system else "the system prompt is removed")
    without = [m for m in session.comparison if (c := session.capabilities(m)) is not None and not c.chat]
    if session.system and without:
        names = ", ".join(without)
        ui.show(Notice("warning", f"{names}: no chat template, so the system prompt is not used there"))


async def _template(session: "Session", ui: FrontEnd, argument: str) -> None:
    choices: dict[str, bool | None] = {"on": True, "off": False, "default": None}
    if argument and argument.lower() not in choices:
        raise InputError(f"'{argument}' is not one of on, off, default", "/template off sends the raw line")
    if argument:
        session.template = choices[argument.lower()]
    word = {True: "on", False: "off: the raw line is sent", None: "as each model's configuration says"}
    say(ui, f"chat templates: {word[session.template]}")


def _template_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "on", "wrap each line in the model's chat template, with the earlier turns"
        yield "off", "send the raw line alone"
        yield "default", "as each model's configuration says"


def _system_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "off", "no system prompt"


COMMANDS = (
    Command(
        name="set",
        usage="[NAME [VALUE | default]]",
        help="set a decoding parameter for the lines to come; alone, list them",
        details=(
            "A value that a model's backend cannot honour is never dropped in silence: asked alone, the "
            "model refuses the line; in a comparison it answers with its default and the answer is marked. "
            "Without a seed each line draws a fresh one, the same for all models of the line, and records it."
        ),
        handler=_set,
        offers=_set_offers,
    ),
    Command(
        name="params",
        usage="[model ...]",
        help="show every parameter's effective value for each model",
        handler=_params,
        offers=model_offers,
    ),
    Command(
        name="system",
        usage="[TEXT | off]",
        help="set the system prompt of chat models",
        handler=_system,
        offers=_system_offers,
    ),
    Command(
        name="template",
        usage="[on | off | default]",
        help="apply chat templates, or send the raw line",
        handler=_template,
        offers=_template_offers,
    ),
)
