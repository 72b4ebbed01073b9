"""A seed gives one answer: on any replica, in any batch and lane, after a death, and in every front end."""

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from repl.config import Arguments, choose
from repl.demo import model_path
from repl.messages import Finished, ModelSpec, Request, Step
from repl.opening import open_session
from repl.options import Options
from repl.params import Params
from repl.pool import Coordinator, Limits, ReplicaPlan, Ticket
from repl.pool.nursery import Nursery
from repl.session.session import Session
from repl.tui.app import ReplApp
from tests.line.conftest import sitting
from tests.test_frontends import until

SEEDED = Params(temperature=0.8, top_p=0.95, seed=7, max_new=24, min_new=24)
"""Long enough for eight to be under way at once."""
NEARLY = 1e-4
"""Nats between the lanes, or two batches, in float32."""

MODELS = [
    pytest.param(
        "hf",
        "lm-late",
        [
            "The with statement",
            "Return a list of",
            "Raised when",
            "A context manager",
            "This module",
            "If the argument is not given, the",
            "class",
            "The keys of a dictionary may be of any type that",
        ],
        id="hf",
    ),
    pytest.param(
        "fairseq",
        "numlm",
        [
            "two hundred and five is",
            "forty two is",
            "one is",
            "nine thousand",
            "eleven",
            "six hundred and",
            "three is",
            "ninety nine thousand one hundred and four is",
        ],
        id="fairseq",
    ),
]


class Told:
    """An answer, and how it came about."""

    def __init__(self, ticket: Ticket, steps: Sequence[Step]) -> None:
        assert isinstance(ticket.terminal, Finished), ticket.terminal
        self.text = ticket.terminal.text
        self.batch = ticket.terminal.batch
        self.tokens = [step.token for step in steps]
        self.sure = [step.raw_lp for step in steps]
        self.replica = ticket.replica
        self.tries = ticket.tries


class Asking:
    """A pool of one model that grows, and the prompts that are put to it."""

    def __init__(self, pool: Coordinator, spec: ModelSpec, prompts: Sequence[str]) -> None:
        self.pool, self.prompts, self._spec = pool, prompts, spec

    async def grow(self, count: int) -> None:
        """Have so many replicas, all ready."""
        for number in range(len(self.pool.status()), count):
            self.pool.add(
                ReplicaPlan(name=f"{self._spec.name}/{number}", model=self._spec, device=f"cpu:{number}")
            )
        await self.pool.ready()
        assert [status.state for status in self.pool.status()] == ["ready"] * count

    async def ask(self, index: int, lane: str = "fast", victim: int | None = None, **how: object) -> Told:
        """One prompt's answer; with a ``victim``, that process is killed when the first token arrives."""
        request = Request(model=self._spec.name, prompt=self.prompts[index], params=SEEDED, lane=lane)
        steps: list[Step] = []

        def sink(ticket: Ticket, event: object) -> None:
            if isinstance(event, Step):
                steps.append(event)
                if victim is not None and len(steps) == 1:
                    os.kill(victim, signal.SIGKILL)

        ticket = self.pool.submit(request, sink=sink, **how)
        await ticket.wait()
        return Told(ticket, steps)

    async def together(self, lane: str = "fast", **how: object) -> list[Told]:
        """All prompts at once."""
        return await asyncio.gather(*(self.ask(index, lane, **how) for index in range(len(self.prompts))))

    def pid(self, name: str) -> int:
        return next(status.pid for status in self.pool.status() if status.name == name and status.pid)


def equal(found: Sequence[Told], expected: Sequence[Told]) -> None:
    """The same tokens and texts, and the same numbers up to rounding."""
    assert [told.tokens for told in found] == [told.tokens for told in expected]
    assert [told.text for told in found] == [told.text for told in expected]
    for told, other in zip(found, expected, strict=True):
        assert told.sure == pytest.approx(other.sure, abs=NEARLY)


@pytest.mark.slow
@pytest.mark.parametrize("backend,model,prompts", MODELS)
async def test_on_any_replica_in_any_batch_and_lane_and_after_a_death(
    backend: str, model: str, prompts: list[str]
) -> None:
    package = "transformers" if backend == "hf" else "fairseq"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    spec = ModelSpec(
        name=model, backend=backend, path=str(model_path(model)), dtype="float32", slots=len(prompts)
    )
    limits = Limits(backoff=0.01, deaths=100)
    async with Nursery() as nursery, Coordinator([], limits=limits, launch=nursery.launch) as pool:
        asking = Asking(pool, spec, prompts)
        await asking.grow(1)
        alone = [await asking.ask(index) for index in range(len(prompts))]
        assert {told.batch for told in alone} == {1}
        assert len({tuple(told.tokens) for told in alone}) == len(prompts)
        for _ in range(20):  # until none of them came too late to share a pass with all others
            batched = await asking.together()
            equal(batched, alone)
            if max(told.batch for told in batched) == len(prompts):
                break
        else:
            pytest.fail("they never shared a pass")
        exact = await asking.together("exact")
        assert {told.batch for told in exact} == {1}
        equal(exact, alone)
        for count in (2, 4):
            await asking.grow(count)
            spread = await asking.together()
            assert len({told.replica for told in spread}) == count
            equal(spread, alone)
            certain = await asking.together("exact")
            equal(certain, alone)
            # The exact lane reads alone: not a bit may depend on the replica.
            assert [told.sure for told in certain] == [told.sure for told in exact]
        await a_death(asking, f"{model}/0", alone, exact)


async def a_death(asking: Asking, name: str, alone: Sequence[Told], exact: Sequence[Told]) -> None:
    """A replica is killed under an answer: that goes on elsewhere, and its successor answers as it did."""
    for _ in range(10):  # until the kill comes before the process has sent its last token
        killed = await asking.ask(0, victim=asking.pid(name), home=name, on_loss="continue")
        equal([killed], alone[:1])
        await asking.grow(4)
        if killed.tries == 2:
            break
    else:
        pytest.fail("the process was never quicker killed than done")
    after = await asking.together(pin=name)
    assert {told.replica for told in after} == {name}
    equal(after, alone)
    again = await asking.together("exact", pin=name)
    assert [told.sure for told in again] == [told.sure for told in exact]


# -- front ends ---------------------------------------------------------------------------------------------

CONFIG = """
models:
  lm:
    path: demo:lm-late
    dtype: float32
    replicas: [{replicas}]
    defaults: {{temperature: 0.8, top_p: 0.95, max_new: 24}}
"""
LINES = ["The with statement", "Raised when", "Return a list of"]
SEED = 7
Answers = list[tuple[str, list[int]]]
"""Of each line the text and the tokens."""


def configured(folder: Path, replicas: int) -> Path:
    path = folder / f"{replicas}.yaml"
    path.write_text(CONFIG.format(replicas=", ".join(["cpu"] * replicas)))
    return path


def told(session: Session) -> Answers:
    assert [x.state for x in session.exchanges] == ["finished"] * len(LINES)
    return [(x.answer.text, [step.token for step in x.answer.steps]) for x in session.exchanges]


def answered(session: Session, count: int) -> bool:
    return len(session.exchanges) == count and all(x.done for x in session.exchanges)


async def in_the_app(path: Path) -> Answers:
    config = choose(Arguments(config=str(path)))
    app = ReplApp(config, lambda: open_session(config, Options(no_record=True)))
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: app.session is not None, lambda: "the session never opened")
            session = app.session
            assert session is not None
            await session.coordinator.ready()
            for count, line in enumerate([f"/set seed {SEED}", *LINES]):
                app.prompt.focus()
                app.prompt.fill(line)
                await pilot.press("enter")
                await until(lambda asked=count: answered(session, asked), lambda: "an answer never ended")
            return told(session)
    finally:
        await app.close()


async def in_line_mode(path: Path) -> Answers:
    async with sitting(choose(Arguments(config=str(path)))) as line:
        await line.session.coordinator.ready()
        for count, text in enumerate([f"/set seed {SEED}", *LINES]):
            line.type(text + "\r")
            await line.until(lambda asked=count: answered(line.session, asked))
        return told(line.session)


def program(*words: str, typed: str) -> list[dict[str, object]]:
    """The JSON lines of a run of the program."""
    done = subprocess.run(
        [sys.executable, "-m", "repl", *words], input=typed.encode(), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def in_a_pipe(path: Path) -> Answers:
    typed = "".join(f"{line}\n" for line in [f"/set seed {SEED}", *LINES])
    events = program("--config", str(path), "--json", typed=typed)
    ends = [event for event in events if event["event"] == "finished"]
    steps = [event for event in events if event["event"] == "step"]
    return [(end["text"], [s["token"] for s in steps if s["id"] == end["id"]]) for end in ends]


def in_a_batch_run(path: Path) -> Answers:
    lines = [json.dumps({"prompt": line, "params": {"seed": SEED}}) for line in LINES]
    source = path.with_name("prompts.jsonl")
    source.write_text("\n".join(lines))
    records = program("run", "--config", str(path), "--input", str(source), "--output", "-", typed="")
    return [(record["text"], record["token_ids"]) for record in records]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
async def test_in_every_front_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    one, two = configured(tmp_path, 1), configured(tmp_path, 2)
    expected = await in_the_app(one)
    assert all(text and tokens for text, tokens in expected)
    assert await in_line_mode(two) == expected
    assert in_a_pipe(one) == expected
    assert in_a_batch_run(two) == expected
