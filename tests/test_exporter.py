"""What a Prometheus server would read, parsed by the official parser."""

import asyncio
import socket
import urllib.request

import pytest

pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")

from prometheus_client.parser import text_string_to_metric_families

from repl.exporter import serve
from repl.messages import ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        return str(response.read().decode())


async def test_a_scrape_tells_what_happened() -> None:
    spec = ModelSpec(name="echo", backend="echo", path="")
    async with Coordinator([ReplicaPlan(name="echo/0", model=spec, device="cpu:0")]) as pool:
        for _ in range(3):
            await pool.submit(Request(model="echo", prompt="a b", params=Params())).wait()
        port = free_port()
        stop = serve(pool, port)
        try:
            text = await asyncio.to_thread(scrape, port)
            with pytest.raises(OSError):
                serve(pool, port)
        finally:
            stop()
    samples = {
        (s.name, s.labels.get("outcome") or s.labels.get("le")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert samples["generation_tokens_total", None] == 6
    assert samples["prompt_tokens_total", None] == 6
    assert samples["prefix_cache_queries_total", None] == 6
    assert samples["prefix_cache_hits_total", None] == 0
    assert samples["request_outcome_total", "finished"] == 3
    assert samples["request_outcome_total", "lost"] == 0
    assert samples["num_requests_running", None] == samples["num_requests_waiting", None] == 0
    assert samples["time_to_first_token_seconds_count", None] == 3
    assert samples["inter_token_latency_seconds_count", None] == 3
    assert samples["dispatch_regret_seconds_bucket", "+Inf"] == 3
