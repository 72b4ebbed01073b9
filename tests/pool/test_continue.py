"""A sampled answer of a real model that loses its replica goes on as if nothing had happened."""

import importlib.util
import os
import signal

import pytest

from repl.demo import model_path
from repl.messages import Finished, ModelSpec, Request, Started, Step
from repl.params import Params
from repl.pool import Coordinator, Limits, ReplicaPlan
from repl.pool.ticket import Ticket

pytest.importorskip("torch", reason="torch is not installed")

MODELS = [
    pytest.param("hf", "lm-late", "The with statement", id="hf"),
    pytest.param("fairseq", "numlm", "two hundred and five is", id="fairseq"),
]


@pytest.mark.slow
@pytest.mark.parametrize("backend,model,prompt", MODELS)
async def test_the_continuation_is_that_of_an_undisturbed_run(backend: str, model: str, prompt: str) -> None:
    package = "transformers" if backend == "hf" else "fairseq"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    spec = ModelSpec(name=model, backend=backend, path=str(model_path(model)), slots=1)
    plans = [ReplicaPlan(name=f"{model}/{i}", model=spec, device=f"cpu:{i}") for i in range(2)]
    request = Request(
        model=model, prompt=prompt, params=Params(temperature=1.0, max_new=50, min_new=50, seed=11)
    )
    async with Coordinator(plans, limits=Limits(backoff=0.01, deaths=100)) as pool:
        await pool.ready()
        undisturbed = await pool.submit(request, pin=f"{model}/1").wait()
        assert isinstance(undisturbed, Finished)
        for _ in range(10):  # until a kill comes before the process has sent its last token
            ticket, events = await interrupted(pool, request, f"{model}/0")
            assert ticket.terminal is not None and isinstance(ticket.terminal, Finished)
            assert (ticket.terminal.text, ticket.terminal.reason) == (undisturbed.text, undisturbed.reason)
            assert sum(isinstance(e, Started) for e in events) == 1
            steps = [e for e in events if isinstance(e, Step)]
            assert [step.index for step in steps] == list(range(len(steps)))
            assert "".join(step.text for step in steps) == undisturbed.text
            if ticket.tries == 2:
                return
            await pool.ready()
    pytest.fail("the process was never quicker killed than done")


async def interrupted(pool: Coordinator, request: Request, home: str) -> tuple[Ticket, list[object]]:
    """Ask, and kill the replica ``home`` when its first token arrives."""
    victim = next(status.pid for status in pool.status() if status.name == home)
    assert victim is not None
    events: list[object] = []

    def kill_at_once(ticket: Ticket, event: object) -> None:
        events.append(event)
        if ticket.tokens == 1 and ticket.tries == 1:
            os.kill(victim, signal.SIGKILL)

    ticket = pool.submit(request, on_loss="continue", home=home, sink=kill_at_once)
    await ticket.wait()
    return ticket, events
