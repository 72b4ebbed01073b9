"""The engine's benchmark: its peers do what they are held to, on the embedded model and on a tiny one."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

transformers = pytest.importorskip("transformers")

from repl import devices
from repl.bench import engine, engine_gpu
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.bench.rounds import demo_lm
from repl.params import Params

PROMPTS = ["The value", "A list", "Return"]


def job(**changes):
    settings = {"model": demo_lm(slots=3), "prompts": PROMPTS, "params": Params(max_new=4, min_new=4)}
    return Job(**(settings | changes))


@pytest.mark.slow
def test_continuous_batching_writes_what_it_is_asked_for():
    with Alone(job(), "repl.bench.peers.continuous") as process:
        for _ in range(2):
            outcome = process.round()
            assert outcome.tokens == 12 and outcome.seconds > 0 and outcome.cpu > 0


@pytest.mark.slow
def test_a_first_token_under_load_comes_sooner_where_prompts_are_read_in_parts():
    """By what of the long prompt is read when it comes."""
    from backends.hf.load import load
    from repl.bench.peers import pressed

    steps = {}
    for tokens in (engine.PART, engine.WHOLE):
        pressing = engine._reading(job(prompts=["A", "B", engine.CONTEXT, "A list is"]), tokens)
        hf = load(pressing.model, "cpu", 1, lambda stage, fraction: None)
        read = []
        usual = hf.step

        def counted(hf=hf, usual=usual, read=read):
            events = usual()
            read.append(sum(reading._read for reading in hf._readings))
            return events

        hf.step = counted
        assert pressed.once(hf, pressing).tokens == 1
        steps[tokens] = [most for most in read if most]
    assert max(steps[engine.PART]) < 300 and not steps[engine.WHOLE]


@pytest.mark.slow
def test_the_figures_of_a_gpu_on_a_cpu(monkeypatch):
    monkeypatch.setattr(engine_gpu, "TOKENS", 3)
    monkeypatch.setattr(engine_gpu, "STREAMS", 2)
    one, many = engine_gpu.measure("cpu", ("tiny",), 1, {"eager": 0.7})
    assert one.peers > one.ours > 0 and one.bar == ">= 0.7 x" and one.met is False
    assert many.ours > 0 and many.peers > 0


def test_without_a_gpu_there_are_none(monkeypatch):
    monkeypatch.setattr(engine_gpu.devices, "gpus", list)
    assert engine_gpu.figures(1) == []


@pytest.mark.parametrize(
    ("free", "total", "disk", "sizes"),
    [(140, 140, 300, ("1B", "8B")), (18, 24, 300, ("1B",)), (None, 12, 300, ("1B",)), (140, 140, 2, ())],
)
def test_sizes_that_do_not_fit_are_left_out(free, total, disk, sizes, monkeypatch):
    free = free and free * 10**9
    gpu = devices.Device(id="cuda:0", name="Card", total_memory=total * 10**9, free_memory=free)
    monkeypatch.setattr(engine_gpu.devices, "gpus", lambda: [gpu])
    monkeypatch.setattr(engine_gpu.shutil, "disk_usage", lambda _: SimpleNamespace(free=disk * 10**9))
    monkeypatch.setattr(engine_gpu, "measure", lambda *told: told)
    assert engine_gpu.figures(3) == ("cuda:0", sizes, 3, {"compiled": 0.7, "eager": 0.3})


def test_what_a_token_reads_is_every_weight_once(tmp_path):
    command = [sys.executable, "-P", "-m", "repl.bench.peers.large_llama", str(tmp_path), "tiny", "cpu"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    config = json.loads((tmp_path / "config.json").read_text())
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    attention = hidden * (2 * hidden + 2 * hidden // 4)
    layer = attention + 3 * hidden * config["intermediate_size"] + 2 * hidden
    assert int(said) == 2 * (config["vocab_size"] * hidden + layers * layer + hidden)


def test_costs_are_told_for_rates_of_tokens_alone():
    rate = Figure.compare("one stream", "tokens/s", [500.0], "generate", [400.0], 1.0)
    first = Figure.compare("second turn", "first tokens/s", [100.0], "anew", [50.0], 3.0)
    assert engine.costs([rate, first]) == [
        "one stream: 2 ms of processor time a token; generate: 2.5 ms",
    ]
