"""When a replica starts again after its process has gone, and when it does not."""

import asyncio

import pytest

from repl.messages import Error, Failed, ModelSpec
from repl.pool import Coordinator, Limits, ReplicaPlan
from repl.pool.transport import ProtocolFactory
from repl.pool.wire import LoadFailed, Loading
from tests.pool.conftest import ask, until
from tests.pool.fake import Played, Stage

TURNS = 1000
"""Of the event loop; what is waited for takes some ten."""
EAGER = Limits(backoff=0.0, deaths=3)
FULL = Error(kind="out_of_memory", message="model 'm' does not fit into the memory of cuda:0", hint="cuda:0?")


def on(device: str) -> ReplicaPlan:
    return ReplicaPlan(name="m/0", model=ModelSpec(name="m", backend="echo", path=""), device=device)


class Slow(Stage):
    """Processes that are gone only some time after they were killed, while they free their device."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    async def __aenter__(self) -> "Slow":
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gone.set()

    async def launch(self, plan: ReplicaPlan, connect: ProtocolFactory) -> Played:
        played = await super().launch(plan, connect)

        async def wait(within: float | None = None) -> int | None:
            if within is None:
                await self.gone.wait()
            await asyncio.sleep(0)
            return -9 if self.gone.is_set() else None

        played.wait = wait  # type: ignore[method-assign]
        return played


async def launched(pool: Coordinator, stage: Stage, count: int) -> None:
    """Go on until the replica has its process number ``count``."""
    for _ in range(TURNS):
        if len(stage.processes) >= count and pool.status()[0].pid == stage.processes[count - 1].pid:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"there is no process number {count}: {pool.status()}")


async def test_a_process_starts_only_when_the_one_before_has_let_go_of_the_device() -> None:
    async with (
        Slow() as stage,
        Coordinator([on("cuda:3")], launch=stage.launch, limits=EAGER) as pool,
        stage,
    ):
        await launched(pool, stage, 1)
        stage.processes[0].become_ready(1)
        stage.processes[0].die()
        await until(pool, lambda: "still holds" in pool.status()[0].detail)
        assert len(stage.processes) == 1
        stage.gone.set()
        await launched(pool, stage, 2)
        stage.processes[1].become_ready(1)
        assert pool.status()[0].state == "ready"


class Hasty(Stage):
    """The first process ends, and that is told, before anybody has a hand on it."""

    async def launch(self, plan: ReplicaPlan, connect: ProtocolFactory) -> Played:
        played = await super().launch(plan, connect)
        if len(self.processes) == 1:
            played.dead = True
            played.connection.connection_lost(None)
        return played


async def test_a_process_that_ends_at_once_is_replaced() -> None:
    stage = Hasty()
    async with Coordinator([on("cuda:0")], launch=stage.launch, limits=EAGER) as pool:
        await launched(pool, stage, 2)
        stage.processes[1].become_ready(1)
        assert pool.status()[0].state == "ready"


async def test_a_restart_by_hand_does_not_wait_for_a_process_that_never_goes() -> None:
    async with (
        Slow() as stage,
        Coordinator([on("cuda:3")], launch=stage.launch, limits=EAGER) as pool,
        stage,
    ):
        await launched(pool, stage, 1)
        stage.processes[0].become_ready(1)
        stage.processes[0].die()
        await until(pool, lambda: "still holds" in pool.status()[0].detail)
        await pool.restart("m/0")
        await launched(pool, stage, 2)


async def test_a_restart_by_hand_during_a_load_starts_anew() -> None:
    stage = Stage()
    async with Coordinator([on("cuda:0")], launch=stage.launch, limits=EAGER) as pool:
        await launched(pool, stage, 1)
        stage.processes[0].say(Loading(stage="weights"))
        await pool.restart("m/0")
        await launched(pool, stage, 2)
        stage.processes[1].become_ready(1)
        assert pool.status()[0].state == "ready"


async def test_a_model_that_ran_before_is_tried_again_when_its_device_is_full() -> None:
    stage = Stage()
    async with Coordinator([on("cuda:0")], launch=stage.launch, limits=EAGER) as pool:
        await launched(pool, stage, 1)
        stage.processes[0].become_ready(1)
        stage.processes[0].die()
        await launched(pool, stage, 2)
        stage.processes[1].say(LoadFailed(error=FULL))
        stage.processes[1].die()
        await launched(pool, stage, 3)
        stage.processes[2].say(LoadFailed(error=FULL))
        stage.processes[2].die()
        await until(pool, lambda: pool.status()[0].state == "failed")  # the third death in a row


async def test_a_model_that_never_fitted_is_not_tried_again() -> None:
    stage = Stage()
    async with Coordinator([on("cuda:0")], launch=stage.launch, limits=EAGER) as pool:
        await launched(pool, stage, 1)
        stage.processes[0].say(LoadFailed(error=FULL))
        stage.processes[0].die()
        await until(pool, lambda: pool.status()[0].state == "failed")
        assert len(stage.processes) == 1


@pytest.mark.parametrize(
    ("device", "told"), [("cuda:3", "cuda:3"), ("cuda:0", "cuda:0"), ("cuda:0+cuda:1", "cuda:0")]
)
async def test_a_device_has_the_number_that_the_user_knows(device: str, told: str) -> None:
    stage = Stage()
    async with Coordinator([on(device)], launch=stage.launch, limits=EAGER) as pool:
        await launched(pool, stage, 1)
        waiting = pool.submit(ask("x", model="m"))
        stage.processes[0].say(LoadFailed(error=FULL))
        stage.processes[0].die()
        end = await waiting.wait()
        assert isinstance(end, Failed)
        assert end.error.message == f"model 'm' does not fit into the memory of {told}"
        assert end.error.hint == f"{told}?"
