"""Through the pool: replicas in processes of their own, as a user has them."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import asyncio
from pathlib import Path

from repl.demo import model_path
from repl.messages import Finished, ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan


async def test_a_seeded_answer_is_the_same_on_every_replica_and_engine(own_folders: Path):
    path = str(model_path("num2digits") / "model.pt")
    plans = [
        ReplicaPlan(
            name=f"{backend}/{number}",
            model=ModelSpec(name=backend, backend=backend, path=path),
            device=f"cpu:{number}",
            threads=1,
        )
        for backend, number in (("ctranslate2", 0), ("ctranslate2", 1), ("fairseq", 0))
    ]
    params = Params(temperature=1.5, seed=12, n=2, max_new=24)
    async with asyncio.timeout(200), Coordinator(plans) as pool:
        await pool.ready()
        tickets = [
            pool.submit(Request(model=plan.model.name, prompt="nine hundred", params=params), pin=plan.name)
            for plan in plans
        ]
        ends = [await ticket.wait() for ticket in tickets]
    answers = []
    for end in ends:
        assert isinstance(end, Finished)
        answers.append([hypothesis.text for hypothesis in end.hypotheses])
    assert answers[0] == answers[1] == answers[2]
    # Two replicas began at once, one of them converted.
    assert len(list(own_folders.rglob("model.bin"))) == 1  # noqa: ASYNC240
