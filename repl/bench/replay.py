"""Replays a trace that ``--trace`` wrote: the waits there were, and what each policy would have made of them.

Arrivals are as recorded, a request's service is the time from its (last) placing to its end, and there are as
many servers as the model ever had slots at once. Requests that were never placed are left out.
"""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repl.bench import queueing, simulator
from repl.bench.errors import BenchError
from repl.bench.report import Figure, Report, quantile


@dataclass
class _Model:
    """What a trace says of one model."""

    submitted: dict[int, float] = field(default_factory=dict)
    ended: dict[int, tuple[float, float]] = field(default_factory=dict)
    """(seconds queued, seconds in all) of requests that were placed."""
    slots: dict[str, int] = field(default_factory=dict)
    most_slots: int = 0

    def served(self) -> list[int]:
        """Requests that were placed and ended, in order of arrival."""
        return [number for number in self.submitted if number in self.ended]


def read(path: Path) -> dict[str, _Model]:
    """A trace by model; raises ``BenchError`` or ``OSError``."""
    models: dict[str, _Model] = {}
    model_of: dict[int, str] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                _take(json.loads(line), models, model_of)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BenchError(f"{path}:{number}: not a line of a trace; --trace FILE writes one") from None
    return models


def _take(line: dict[str, Any], models: dict[str, _Model], model_of: dict[int, str]) -> None:
    event, now = line["event"], float(line["t"])
    if event == "replica":
        model = models.setdefault(str(line["model"]), _Model())
        ready = line["state"] in ("ready", "draining")
        model.slots[str(line["name"])] = int(line["slots"]) if ready else 0
        model.most_slots = max(model.most_slots, sum(model.slots.values()))
        return
    number = int(line["id"])
    if event == "submitted":
        model_of[number] = str(line["model"])
        models.setdefault(model_of[number], _Model()).submitted[number] = now
    elif event == "ended" and line["queue"] is not None:
        seconds = float(line["queue"]), float(line["total"])
        models[model_of[number]].ended[number] = seconds
    elif event == "placed" and number not in model_of:
        raise KeyError(number)


def figures(name: str, model: _Model) -> Iterator[Figure]:
    """The lines of the report for one model."""
    served = model.served()
    waits = [model.ended[number][0] for number in served]
    jobs = [
        queueing.Job(model.submitted[number], model.ended[number][1] - wait)
        for number, wait in zip(served, waits, strict=True)
    ]
    servers = max(1, model.most_slots)
    yield Figure(name=f"{name}: requests", unit="", ours=len(served))
    policies = {
        "central queue, replayed": simulator.simulate(jobs, servers).waits,
        **queueing.early(jobs, servers),
    }
    for policy, others in policies.items():
        for what, measure in (("mean", statistics.fmean), ("p99", lambda values: quantile(values, 0.99))):
            yield Figure(
                name=f"{name}: {what} wait",
                unit="ms",
                ours=measure(waits) * 1e3,
                peer=policy,
                peers=measure(others) * 1e3,
            )


async def replay(path: Path) -> Report:
    """Replay a trace; raises ``BenchError`` or ``OSError``.

    A coroutine because a ticket belongs to an event loop.
    """
    models = read(path)
    found = [figure for name, model in models.items() if model.served() for figure in figures(name, model)]
    about = f"{path.name}, as it was against other policies on the same requests"
    skipped = "" if found else "no request was answered in this trace"
    return Report(bench="replay", about=about, figures=tuple(found), skipped=skipped)
