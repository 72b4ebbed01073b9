"""Branches, hand-offs, steps, sweeps and replays over the demo models: the identities that must hold."""

import importlib.util

import pytest

from repl.config import Config, ModelConfig
from repl.demo import model_path
from repl.pool import Coordinator, ReplicaPlan
from repl.probe.grid import Grid
from repl.probe.replay import Rerun
from repl.session.record.store import Store
from repl.session.session import Session
from tests.session.test_with_replicas import Watcher

pytest.importorskip("torch", reason="torch is not installed")

MODELS = {
    "hf": ("lm-late", "The with statement"),
    "fairseq": ("numlm", "two hundred and five is"),
}


class Desk:
    """A session over two replicas of a model, with what it showed."""

    def __init__(self, session: Session, screen: Watcher, prompt: str) -> None:
        self.session, self.screen, self.prompt = session, screen, prompt

    async def do(self, *lines: str) -> None:
        """Type lines, each after the one before has been answered."""
        for line in lines:
            await self.session.run(line, self.screen)
            if self.screen.running:
                await self.screen.quiet()
        assert not self.screen.errors()

    def shown(self, kind: type) -> object:
        return next(output for output in reversed(self.screen.shown) if isinstance(output, kind))

    def ids(self, at: int = -1) -> list[int]:
        return [step.token for step in self.session.exchanges[at].answer.steps]


@pytest.fixture(params=MODELS)
async def desk(request):
    backend = request.param
    package = "transformers" if backend == "hf" else "fairseq"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    name, prompt = MODELS[backend]
    model = ModelConfig(name=name, backend=backend, path=str(model_path(name)), slots=2)
    screen = Watcher()
    plans = [ReplicaPlan(name=f"{name}/{i}", model=model.spec(), device=f"cpu:{i}") for i in range(2)]
    async with Coordinator(plans) as pool:
        await pool.ready()
        session = Session(Config(name="t", models={name: model}, compare=(name,)), pool, Store(None))
        session.listen(screen)
        yield Desk(session, screen, prompt)
        await session.close()


@pytest.mark.slow
async def test_the_identities_hold_on_a_real_model(desk):
    session = desk.session
    await desk.do("/set temperature 1.3", "/set seed 5", "/set max_new 12", desk.prompt)
    drawn = desk.ids()
    parent = session.exchanges[0]
    await desk.do("/set seed 6", "/set temperature 0")
    for at, token in enumerate(drawn):
        await desk.do(f"/branch #{parent.id} @{at} #{token}")
        assert desk.ids() == drawn, f"branching on the token that stands at @{at}"
        assert session.exchanges[-1].answer.text == parent.answer.text
    assert {x.replica for x in session.exchanges} == {f"{parent.model}/0", f"{parent.model}/1"}

    await desk.do(f"/branch #{parent.id} @1 ~2 ~3")
    others = [[s.token for s in x.answer.steps] for x in session.exchanges[-2:]]
    assert all(ids[0] == drawn[0] for ids in others) and others[0][1] != others[1][1]

    await desk.do(f"/handoff {parent.model} #{parent.id} @2")
    assert desk.ids() == drawn

    await desk.do(desk.prompt)
    greedy = desk.ids()
    await desk.do(f"/step {desk.prompt}")
    while not session.stepping.complete and len(session.stepping.steps) < len(greedy):
        await desk.do("/step 1")
    await desk.do("/step done")
    assert desk.ids() == greedy

    await desk.do(f"/sweep temperature=0,1.3 seed=5 n=3 {desk.prompt}")
    cold, warm = desk.shown(Grid).cells
    assert {s.text for s in cold.samples} == {session.exchanges[-1].answer.text}
    assert warm.samples[0].text == parent.answer.text

    await desk.do(f"/rerun #{parent.id}", "/rerun all")
    found = desk.shown(Rerun).replays
    assert [r.words for r in found if r.verdict != "equal"] == []
