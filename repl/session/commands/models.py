"""Commands about models and replicas."""

from typing import TYPE_CHECKING

from repl.pool import Refused, ReplicaStatus
from repl.session.commands.base import Command, model_offers, one_model, say
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


async def _replicas(session: "Session", ui: FrontEnd, argument: str) -> None:
    rows = tuple(_replica_row(status) for status in session.status())
    errors = tuple(
        f"{s.name}: {s.error.message}. {s.error.hint}".rstrip(" .") for s in session.status() if s.error
    )
    waiting = f"{session.coordinator.queued()} queued"
    columns = ("replica", "device", "state", "running", "tok/s", "memory", "restarts", "pid")
    ui.show(Table(f"replicas, {waiting}", columns, rows, errors))


def _replica_row(status: ReplicaStatus) -> tuple[str, ...]:
    loading = f" {status.loading:.0%}" if status.loading is not None else ""
    return (
        status.name,
        status.device,
        f"{status.state}{loading}" + (f": {status.detail}" if status.detail else ""),
        f"{status.running}/{status.slots}",
        f"{status.tokens_per_second:.0f}",
        f"{status.memory / 1e9:.1f} GB" if status.memory else "",
        str(status.restarts),
        str(status.pid or ""),
    )


async def _restart(session: "Session", ui: FrontEnd, argument: str) -> None:
    if not argument:
        raise InputError(
            "which replica?", f"/restart NAME, of {', '.join(r.name for r in session.replicas())}"
        )
    say(ui, f"restarting {argument}")
    try:
        await session.coordinator.restart(argument)
    except Refused as refused:
        raise InputError(refused.error.message, refused.error.hint) from None


def _replica_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if before:
        return
    for status in session.status():
        yield status.name, f"{status.device}, {status.state}"
    for model in session.models:
        yield model, "all its replicas"


def _first_model(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    return () if before else model_offers(session, before, begun)


COMMANDS = (
    Command(name="models", help="list the models and how far their replicas are", handler=_models),
    Command(name="use", usage="NAME", help="talk to one model", handler=_use, offers=_first_model),
    Command(
        name="compare",
        usage="NAME NAME ... | all",
        help="send each line to several models, side by side",
        handler=_compare,
        offers=_compare_offers,
    ),
    Command(name="replicas", help="show the replicas: device, state, load, memory", handler=_replicas),
    Command(
        name="restart",
        usage="REPLICA | MODEL",
        help="restart a replica, or all of a model",
        handler=_restart,
        offers=_replica_offers,
    ),
)
