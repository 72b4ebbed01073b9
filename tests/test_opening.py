"""What opening a pool promises beside the replicas: a trace, a metrics port, and one clear message."""

import asyncio
import json
import socket
import urllib.request
from pathlib import Path

import pytest

from repl.config import Config, ConfigError, ModelConfig
from repl.devices import plan
from repl.messages import Request
from repl.opening import open_pool, open_session
from repl.options import Options
from repl.params import Params

CONFIG = Config(name="t", models={"e": ModelConfig(name="e", backend="echo", path="")}, compare=("e",))


async def test_the_trace_and_the_figures_are_there_while_the_pool_is(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = Options(trace=tmp_path / "trace.jsonl", metrics_port=port)
    url = f"http://127.0.0.1:{port}/metrics"
    async with open_pool(CONFIG, options, plan(CONFIG), 8) as pool:
        await pool.submit(Request(model="e", prompt="a b", params=Params())).wait()
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    assert 'generation_tokens_total{model_name="e"} 2.0' in page
    with pytest.raises(OSError):
        await asyncio.to_thread(urllib.request.urlopen, url)
    events = [json.loads(line)["event"] for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert "submitted" in events and "ended" in events and "replica" in events


async def test_a_trace_that_cannot_be_written_is_said_before_anything_starts(tmp_path: Path) -> None:
    options = Options(trace=tmp_path / "missing" / "trace.jsonl")
    with pytest.raises(ConfigError, match=r"--trace .*No such file"):
        async with open_pool(CONFIG, options, plan(CONFIG), 8):
            pass


async def test_a_taken_port_is_said() -> None:
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"--metrics-port {port}"):
            async with open_pool(CONFIG, Options(metrics_port=port), plan(CONFIG), 8):
                pass


async def test_an_unknown_session_cannot_be_resumed() -> None:
    with pytest.raises(ConfigError, match="--resume nothing"):
        async with open_session(CONFIG, Options(resume="nothing", no_record=True)):
            pass
