"""What a played process is told and says, frame by frame, and what the coordinator makes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repl.messages import Event, Finished, Started, Step
from repl.pool import Coordinator
from repl.pool.ticket import Ticket
from tests.pool.conftest import ask, plans
from tests.pool.fake import Played, Stage


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


async def test_a_slot_that_a_frame_frees_has_work_before_anyone_hears_of_that_frame() -> None:
    heard: list[tuple[type, list[int]]] = []

    async with one_replica(slots=2) as (pool, process):

        def note(ticket: Ticket, event: Event) -> None:
            heard.append((type(event), sorted(process.running)))

        first, second = pool.submit(ask("a"), sink=note), pool.submit(ask("b"), sink=note)
        third = pool.submit(ask("c"))
        one, two, three = (ticket.request.id for ticket in (first, second, third))
        del process.running[one]
        step = Step(id=two, index=0, token=0, piece=b"b", text="b")
        process.say(step, Finished(id=one, reason="eos", text=""))
        assert heard == [(Step, [two, three]), (Finished, [two, three])]
        assert (first.state, second.state, third.state) == ("finished", "streaming", "placed")


async def test_the_last_step_and_the_end_of_one_frame_come_in_order() -> None:
    heard: list[type] = []
    async with one_replica(slots=1) as (pool, process):
        ticket = pool.submit(ask("a"), sink=lambda ticket, event: heard.append(type(event)))
        number = ticket.request.id
        step = Step(id=number, index=0, token=0, piece=b"a", text="a")
        process.say(step, Finished(id=number, reason="eos", text="a"), step)
        assert heard == [Step, Finished] and ticket.tokens == 1


async def test_prompt_tokens_that_needed_no_reading_are_counted() -> None:
    async with one_replica(slots=2) as (pool, process):
        for reused in (0, 3):
            number = pool.submit(ask("x")).request.id
            process.say(Started(id=number, prompt_ids=(1, 2, 3, 4), prompt_text="x", reused=reused))
        figures = pool.metrics()["echo"]
        assert (figures.prefix_cache_queries, figures.prefix_cache_hits) == (8, 3)


async def test_guessed_tokens_are_counted() -> None:
    async with one_replica(slots=2) as (pool, process):
        for accepted in (0, 5):
            number = pool.submit(ask("x")).request.id
            process.say(Finished(id=number, reason="eos", text="", drafted=8, accepted=accepted))
        figures = pool.metrics()["echo"]
        assert figures.spec_decode_num_draft_tokens == 16
        assert figures.spec_decode_num_accepted_tokens == 5
