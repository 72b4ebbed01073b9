"""What a played process is told and says, frame by frame, and what the coordinator makes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repl.pool import Coordinator

from .conftest import ask, plans
from .fake import Played, Stage


@asynccontextmanager
async def one_replica(slots: int) -> AsyncIterator[tuple[Coordinator, Played]]:
    """A pool of one replica that is ready, and its process."""
    stage = Stage()
    async with Coordinator(plans(), launch=stage.launch) as pool:
        await stage.launched.wait()
        stage.processes[0].become_ready(slots)
        yield pool, stage.processes[0]


@pytest.mark.parametrize("interactive", [True, False])
async def test_a_request_tells_its_engine_whether_a_person_waits(interactive: bool) -> None:
    async with one_replica(slots=1) as (pool, process):
        ticket = pool.submit(ask("x"), interactive=interactive)
        assert process.running[ticket.request.id].interactive is interactive
