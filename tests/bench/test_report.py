"""Figures say what was measured, and the JSON says the same as the table."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from repl import bench
from repl.bench.report import Figure, Ratio, Report, quantile, save, show


def test_a_ratio_is_taken_pair_by_pair() -> None:
    assert Ratio.of([10, 30, 20], [10, 10, 10]) == Ratio(2, 1, 3)


def test_a_bar_is_met_or_missed_by_the_median() -> None:
    assert Figure.compare("a", "tok/s", [95, 97, 99], "b", [100, 100, 100], 0.97).met
    assert not Figure.compare("a", "tok/s", [95, 96, 99], "b", [100, 100, 100], 0.97).met
    assert Figure.limit("a", "ms", [0.2, 0.4, 9], 0.5).met
    assert not Figure.limit("a", "ms", [0.5], 0.5).met
    plain = Figure.compare("a", "tok/s", [95], "b", [100])
    assert plain.ratio == Ratio(0.95, 0.95, 0.95) and plain.bar == "" and plain.met is None


def test_quantiles_by_nearest_rank() -> None:
    assert quantile(range(100), 0.99) == 99
    assert quantile([5.0], 0.5) == 5.0


def test_table_and_json_hold_the_figures(tmp_path: Path) -> None:
    figure = Figure.compare("one stream", "tokens/s", [90.0], "alone", [100.0], 0.97)
    report = Report(bench="stream", about="[b]markup[/b]", figures=(figure,), notes=("[/oops]",))
    console = Console(record=True, width=120, file=io.StringIO(), markup=False)
    show(report, console)
    text = console.export_text()
    assert "one stream" in text and "MISSED" in text and "[/oops]" in text
    save([report], tmp_path / "out.json")
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept["reports"][0]["figures"][0]["ratio"]["median"] == 0.9
    assert kept["machine"]["cores"] >= 1


def test_an_unknown_benchmark_names_the_nearest() -> None:
    with pytest.raises(bench.BenchError, match="did you mean 'dispatch'"):
        bench.main(["dispach"])
