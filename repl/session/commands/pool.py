"""Commands about the replicas: what they do, who may use them, and how they come and go."""

from typing import TYPE_CHECKING

from repl import nvml
from repl.config import ConfigError
from repl.config.schema import device as named_device
from repl.devices import place, readings, together
from repl.pool import Refused, ReplicaStatus
from repl.pool.metrics import Histogram
from repl.pool.plan import answers_to
from repl.session import routing
from repl.session.commands.base import Command, one_model, say
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Table
from repl.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from repl.devices import GpuReading
    from repl.pool.metrics import ModelMetrics
    from repl.session.commands.base import Offer
    from repl.session.session import Session


async def _replicas(session: "Session", ui: FrontEnd, argument: str) -> None:
    word, _, rest = argument.partition(" ")
    if not word:
        ui.show(_replica_table(session))
    elif word == "add":
        _add(session, ui, rest.split())
    elif word == "drain":
        _drain(session, ui, rest.strip())
    else:
        raise InputError(
            f"/replicas does not know '{word}'", "/replicas, /replicas add gpu3, /replicas drain gpu1"
        )


def _replica_table(session: "Session") -> Table:
    known = readings()
    rows = tuple(_replica_row(status, known) for status in session.status())
    errors = tuple(
        f"{s.name}: {s.error.message}. {s.error.hint}".rstrip(" .") for s in session.status() if s.error
    )
    # Replicas of one model mostly have the same to say.
    told = {
        f"{s.model}: {note}": None
        for s in session.status()
        if s.capabilities
        for note in s.capabilities.notes
    }
    fault = nvml.fault()
    unused = (f"no GPU is used, since its driver fails: {fault}; see multigpu-repl doctor",) if fault else ()
    waiting = f"{session.coordinator.queued()} queued"
    gpu = ("GPU",) if known else ()
    columns = ("replica", "device", "state", "running", "tok/s", "memory", *gpu, "restarts", "pid")
    return Table(f"replicas, {waiting}", columns, rows, (*unused, *errors, *told))


def _replica_row(status: ReplicaStatus, known: "Mapping[str, GpuReading]") -> tuple[str, ...]:
    loading = f" {status.loading:.0%}" if status.loading is not None else ""
    gpu = (_gpu(together(status.device, known)),) if known else ()
    return (
        status.name,
        status.device,
        f"{status.state}{loading}" + (f": {status.detail}" if status.detail else ""),
        f"{status.running}/{status.slots}",
        f"{status.tokens_per_second:.0f}",
        f"{status.memory / 1e9:.1f} GB" if status.memory else "",
        *gpu,
        str(status.restarts),
        str(status.pid or ""),
    )


def _gpu(reading: "GpuReading | None") -> str:
    """What all its users together have of a GPU, and how busy it is."""
    if reading is None:
        return ""
    total = f"{reading.memory_total / 1e9:.0f} GB"
    return f"{reading.memory_used / 1e9:.1f} of {total}, {reading.utilisation:.0%} busy"


def _add(session: "Session", ui: FrontEnd, words: "Sequence[str]") -> None:
    """Start one more replica of a model, or of each chosen model."""
    device = named_device(words[0]) if words else None
    if device is None:
        what = f"'{words[0]}' is not a device" if words else "on which device?"
        raise InputError(what, "/replicas add gpu3 [MODEL], or /replicas add cpu [MODEL]")
    models = [one_model(session, word) for word in words[1:]] or list(session.comparison)
    for name in models:
        try:
            plan = place(session.models[name], device, session.status())
        except ConfigError as error:
            raise InputError(str(error), "/replicas shows the devices in use") from None
        session.coordinator.add(plan)
        say(ui, f"starting {plan.name} on {plan.device}")


def _drain(session: "Session", ui: FrontEnd, word: str) -> None:
    if not word:
        known = ", ".join(r.name for r in session.replicas())
        raise InputError("which replica?", f"/replicas drain NAME, of {known}; or a device")
    name = routing.device(word) or word
    try:
        session.coordinator.drain(name)
    except Refused as refused:
        raise InputError(refused.error.message, refused.error.hint) from None
    say(ui, f"{name} finishes what it runs, takes nothing new, then leaves", "/restart brings it back")


def _replicas_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "add", "start one more: a device, and a model unless for each chosen one"
        yield "drain", "let one finish what it runs and leave"
    elif before[0] == "drain" and len(before) == 1:
        yield from _places(session)
    elif before[0] == "add" and len(before) == 2:
        yield from ((name, "model") for name in session.models)


def _places(session: "Session") -> "Iterable[Offer]":
    for status in session.status():
        yield status.name, f"{status.device}, {status.state}"
    devices = (device for status in session.status() for device in status.device.split("+"))
    for device in dict.fromkeys(devices):
        yield routing.short(device), "device"


async def _restart(session: "Session", ui: FrontEnd, argument: str) -> None:
    if not argument:
        known = ", ".join(r.name for r in session.replicas())
        raise InputError("which replica?", f"/restart NAME, of {known}")
    word = routing.device(argument) or argument
    chosen = [r.name for r in session.replicas() if word == r.model or answers_to(r.name, r.device, word)]
    if chosen:
        say(ui, f"restarting {' and '.join(chosen)}")
    try:
        await session.coordinator.restart(word)
    except Refused as refused:
        raise InputError(refused.error.message, refused.error.hint) from None


def _restart_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if before:
        return
    yield from _places(session)
    for model in session.models:
        yield model, "all its replicas"


async def _pin(session: "Session", ui: FrontEnd, argument: str) -> None:
    if not argument:
        text = ", ".join(f"{model} to {where}" for model, where in session.pins.items())
        say(
            ui, f"pinned: {text}" if text else "nothing is pinned", "/pin gpu1 or /pin lm/0; /pin off ends it"
        )
        return
    if argument == "off":
        session.pins.clear()
        say(ui, "lines go to the least busy replica again")
        return
    _check_place(session, argument)
    found = routing.resolve(
        argument, comparison=session.comparison, models=list(session.models), replicas=session.replicas()
    )
    pins = {model: where for model, where in found.items() if where is not None}
    if not pins:
        names = ", ".join(r.name for r in session.replicas() if r.model in found)
        raise InputError(f"'{argument}' is a model", f"name a device or one of its replicas: {names}")
    session.pins.update(pins)
    say(ui, f"{' and '.join(pins)} will answer on {argument} alone", "/pin off ends it")


def _check_place(session: "Session", name: str) -> None:
    """Refuse what names neither a replica, nor a device, nor a model."""
    known = routing.addresses((), session.replicas())
    if name in known or name in session.models or routing.device(name):
        return
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
    raise InputError(f"no replica or device is called '{name}'", hint)


def _pin_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not before:
        yield "off", "any replica again"
        yield from _places(session)


async def _stats(session: "Session", ui: FrontEnd, argument: str) -> None:
    columns = ("", *session.coordinator.metrics())
    figures = list(session.coordinator.metrics().values())
    rows = [
        *(
            (how, *(str(m.outcomes[how]) for m in figures))
            for how in ("finished", "stopped", "failed", "lost")
        ),
        ("requeued", *(str(m.requeued) for m in figures)),
        ("replica deaths", *(str(m.replica_deaths) for m in figures)),
        ("prompt tokens", *(f"{m.prompt_tokens:,}" for m in figures)),
        ("of these reused", *(_part(m.prefix_cache_hits, m.prompt_tokens) for m in figures)),
        ("generated tokens", *(f"{m.generation_tokens:,}" for m in figures)),
        *_drafts(figures),
        ("time to first token", *(_typical(m.time_to_first_token) for m in figures)),
        ("inter-token latency", *(_typical(m.inter_token_latency) for m in figures)),
        ("queue time", *(_typical(m.queue_time) for m in figures)),
        ("dispatch regret", *(_typical(m.dispatch_regret) for m in figures)),
        ("whole request", *(_typical(m.request_latency) for m in figures)),
    ]
    note = "times: half are within the first figure, 99 % within the second (bounds of histogram buckets)"
    ui.show(Table("since the start of this session", columns, tuple(rows), (note,)))


def _drafts(figures: "Sequence[ModelMetrics]") -> list[tuple[str, ...]]:
    """What became of guessed tokens; nothing where none were."""
    if not any(m.spec_decode_num_draft_tokens for m in figures):
        return []
    drafted = [(m.spec_decode_num_accepted_tokens, m.spec_decode_num_draft_tokens) for m in figures]
    return [
        ("guessed tokens", *(f"{whole:,}" for _, whole in drafted)),
        ("of these accepted", *(_part(count, whole) for count, whole in drafted)),
    ]


def _part(count: int, whole: int) -> str:
    return f"{count:,} ({count / whole:.0%})" if whole else "0"


def _typical(histogram: Histogram) -> str:
    half, most = histogram.quantile(0.5), histogram.quantile(0.99)
    return "" if half is None or most is None else f"{_seconds(half)} / {_seconds(most)}"


def _seconds(bound: float) -> str:
    if bound == float("inf"):
        return "more"
    return f"{bound * 1e3:g} ms" if bound < 1 else f"{bound:g} s"


COMMANDS = (
    Command(
        name="replicas",
        usage="[add DEVICE [MODEL] | drain REPLICA]",
        help="show the replicas: device, state, load, memory; add one, or let one leave",
        details=(
            "`/replicas add gpu3 lm` starts a replica of lm on GPU 3; without a model, one of each chosen "
            "model. `/replicas drain gpu1` lets what is on GPU 1 finish what it runs, then ends it."
        ),
        handler=_replicas,
        offers=_replicas_offers,
    ),
    Command(
        name="restart",
        usage="REPLICA | MODEL | DEVICE",
        help="restart a replica, or all of a model or on a device",
        handler=_restart,
        offers=_restart_offers,
    ),
    Command(
        name="pin",
        usage="[REPLICA | DEVICE | off]",
        help="keep the lines to come on one replica or device",
        handler=_pin,
        offers=_pin_offers,
    ),
    Command(name="stats", help="show counts and latencies of this session", handler=_stats),
)
"""In the order of ``/help``."""
