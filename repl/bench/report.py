"""What a benchmark says: each figure beside its peer from the same run, as a ratio with its spread."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from repl import __version__


class Ratio(msgspec.Struct, frozen=True):
    """A ratio measured several times: median, least and greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], peers: Sequence[float]) -> "Ratio":
        """Pair by pair, so that a drift of the machine's speed cancels."""
        ratios = [a / b for a, b in zip(ours, peers, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report."""

    name: str
    unit: str
    ours: float
    """Median."""
    peer: str = ""
    """What it is held against."""
    peers: float | None = None
    ratio: Ratio | None = None
    bar: str = ""
    """The quality bar in words, such as ``>= 0.97``."""
    met: bool | None = None

    @classmethod
    def compare(
        cls,
        name: str,
        unit: str,
        ours: Sequence[float],
        peer: str,
        peers: Sequence[float],
        at_least: float | None = None,
    ) -> "Figure":
        """Paired rounds; where more is better, with the least ratio that is good enough."""
        ratio = Ratio.of(ours, peers)
        return cls(
            name=name,
            unit=unit,
            ours=statistics.median(ours),
            peer=peer,
            peers=statistics.median(peers),
            ratio=ratio,
            bar="" if at_least is None else f">= {at_least:g} x",
            met=None if at_least is None else ratio.median >= at_least,
        )

    @classmethod
    def limit(cls, name: str, unit: str, values: Sequence[float], at_most: float) -> "Figure":
        """A figure that has an absolute limit; the ratio is the share of the limit used."""
        middle = statistics.median(values)
        ratio = Ratio(middle / at_most, min(values) / at_most, max(values) / at_most)
        return cls(
            name=name,
            unit=unit,
            ours=middle,
            peer="limit",
            peers=at_most,
            ratio=ratio,
            bar=f"< {at_most:g} {unit}",
            met=middle < at_most,
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one benchmark."""

    bench: str
    about: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str = ""
    """Why it could not run here."""


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, object]:
    """Where the figures were measured."""
    return {
        "multigpu-repl": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def show(report: Report, console: Console) -> None:
    """Print a report as a table."""
    table = Table(title=f"{report.bench}: {report.about}", title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "ours", "peer", "ratio (least to most)", "bar", ""):
        table.add_column(
            heading,
            justify="right" if heading == "ours" else "left",
            overflow="fold",
            no_wrap=heading == "figure",
        )
    for f in report.figures:
        peer = f"{f.peer} {f.peers:,.4g}" if f.peers is not None else f.peer
        ratio = f"{f.ratio.median:.3g} ({f.ratio.low:.3g} to {f.ratio.high:.3g})" if f.ratio else ""
        verdict = {True: "met", False: "MISSED", None: ""}[f.met]
        table.add_row(f.name, f"{f.ours:,.4g} {f.unit}", peer, ratio, f.bar, verdict)
    if report.skipped:
        console.print(f"{report.bench}: skipped: {report.skipped}")
    else:
        console.print(table)
    for note in report.notes:
        console.print(f"  {note}")
    console.print()


def save(reports: Sequence[Report], path: Path) -> None:
    """Write all reports and the machine they ran on as JSON."""
    content = {"machine": machine(), "reports": [msgspec.to_builtins(r) for r in reports]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
