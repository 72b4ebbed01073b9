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
    events: list[object] = []

    async with Coordinator(plans, limits=Limits(backoff=0.01)) as pool:
        await pool.ready()
        undisturbed = await pool.submit(request, pin=f"{model}/1").wait()
        victim = pool.status()[0].pid
        assert victim is not None

        def kill_after_two(ticket: Ticket, event: object) -> None:
            events.append(event)
            if ticket.tokens == 2 and ticket.tries == 1:
                os.kill(victim, signal.SIGKILL)

        ticket = pool.submit(request, on_loss="continue", home=f"{model}/0", sink=kill_after_two)
        continued = await ticket.wait()

    assert isinstance(undisturbed, Finished) and isinstance(continued, Finished)
    assert continued.text == undisturbed.text and continued.reason == undisturbed.reason
    assert sum(isinstance(e, Started) for e in events) == 1
    indices = [e.index for e in events if isinstance(e, Step)]
    assert indices == list(range(len(indices)))
    assert "".join(e.text for e in events if isinstance(e, Step)) == continued.text
    assert ticket.tries == 2
