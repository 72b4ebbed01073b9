"""A trace that the pool wrote, replayed."""

from pathlib import Path

import pytest

from repl.bench.errors import BenchError
from repl.bench.replay import replay
from repl.pool import Coordinator
from repl.pool.trace import Trace
from tests.pool.conftest import ask, plans


async def test_a_trace_of_a_busy_pool_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    async with Coordinator(plans(2, tokens_per_second=500), trace=Trace(path)) as pool:
        await pool.ready()
        tickets = [pool.submit(ask("w " * (1 + i % 5))) for i in range(20)]
        for ticket in tickets:
            await ticket.wait()
    report = await replay(path)
    by_peer = {(f.name, f.peer): f for f in report.figures}
    assert by_peer["echo: requests", ""].ours == 20
    mean = by_peer["echo: mean wait", "central queue, replayed"]
    assert mean.peers is not None and mean.ours >= 0.98 * mean.peers > 0
    peers = {peer for name, peer in by_peer if name == "echo: p99 wait"}
    assert peers == {"central queue, replayed", "least requests", "round robin", "random"}


@pytest.mark.parametrize("line", ["not json", "[]", '{"event": "placed", "t": 1, "id": 7}', '{"t": 1}'])
async def test_what_is_no_trace_is_named_by_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(BenchError, match=r"x\.jsonl:1"):
        await replay(path)


async def test_an_empty_trace_says_that_it_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("")
    assert "no request" in (await replay(path)).skipped
