"""Commands about models: which there are, and which answer."""

from typing import TYPE_CHECKING

from repl.session.commands.base import Command, model_offers, number_offers, one_model, say
from repl.session.commands.probing.comparing import set_following, show_diff
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session


async def _models(session: "Session", ui: FrontEnd, argument: str) -> None:
    status = session.status()
    rows = []
    for model in session.models.values():
        own = [s for s in status if s.model == model.name]
        capabilities = session.capabilities(model.name)
        size = capabilities.parameters if capabilities is not None else None
        rows.append(
            (
                "●" if model.name in session.comparison else "",
                model.name,
                model.backend,
                f"{sum(s.state in ('ready', 'busy') for s in own)}/{len(own)} ready",
                f"{size / 1e6:,.1f} M" if size else "",
                "chat" if capabilities is not None and capabilities.chat else "",
                model.path,
            )
        )
    columns = ("", "model", "backend", "replicas", "weights", "template", "path")
    ui.show(
        Table("models", columns, tuple(rows), ("● gets the lines you type; /use and /compare change that",))
    )


async def _use(session: "Session", ui: FrontEnd, argument: str) -> None:
    if not argument:
        raise InputError("which model?", f"/use NAME, of {', '.join(session.models)}")
    _choose(session, ui, [one_model(session, argument)])


async def _compare(session: "Session", ui: FrontEnd, argument: str) -> None:
    words = argument.replace(",", " ").split()
    if not words:
        say(ui, f"comparing {', '.join(session.comparison)}", "/compare NAME NAME changes that, /compare all")
        return
    if words[0] == "diff" and "diff" not in session.models:
        await set_following(session, ui, " ".join(words[1:]))
        return
    if all(word.startswith("#") for word in words):
        await show_diff(session, ui, words)
        return
    names = list(session.models) if words == ["all"] else [one_model(session, word) for word in words]
    _choose(session, ui, list(dict.fromkeys(names)))


def _choose(session: "Session", ui: FrontEnd, names: list[str]) -> None:
    session.comparison = names
    ui.panes_changed()
    say(ui, f"lines now go to {' and '.join(names)}")


def _compare_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    yield from model_offers(session, before, begun)
    if not before:
        yield "all", "every model"
        yield "diff", "on or off: show where the answers part after each line"
    elif before == ["diff"]:
        yield "on", "show where the answers part after each line"
        yield "off", "do not"
    if not before or before[-1].startswith("#"):
        yield from number_offers(session, before, begun)


def _first_model(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    return () if before else model_offers(session, before, begun)


COMMANDS = (
    Command(name="models", help="list the models and how far their replicas are", handler=_models),
    Command(name="use", usage="NAME", help="talk to one model", handler=_use, offers=_first_model),
    Command(
        name="compare",
        usage="NAME NAME ... | all | #id #id ... | diff on|off",
        help="send each line to several models, side by side",
        details=(
            "/compare lm-late lm-early   lines now go to both\n"
            "/compare #12 #13            where two answers part, as /diff shows it\n"
            "/compare diff on            show that after each line"
        ),
        handler=_compare,
        offers=_compare_offers,
    ),
)
