"""One replica over two processes: the same tokens as one process gives, and one fate for all of them."""

import asyncio
import os
import signal

import psutil
import pytest
import pytest_asyncio

from backends.base import BackendError
from repl.messages import Failed, Finished, ModelSpec, Request, Step, Stopped
from repl.params import Params
from repl.pool import Coordinator, Limits, ReplicaPlan
from tests.backends.hf.support import ask

in_one_loop = pytest.mark.asyncio(loop_scope="module")
LONG = "the cat sat on the mat with the hat and that was that; a model reads a prompt and writes an answer"
PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that and the hat sat on"]


@pytest.fixture(scope="module")
def spec(checkpoint):
    options = {"lookup": 4}
    return ModelSpec(name="llama", backend="hf", path=str(checkpoint("llama")), gpus=2, options=options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(spec):
    """A pool with one replica of two ranks."""
    plan = ReplicaPlan(name="llama/0", model=spec, device="cpu:0", threads=2)
    async with Coordinator([plan], limits=Limits(backoff=0.01, deaths=100)) as made:
        await made.ready()
        yield made


def request(prompt, **fields):
    params = {name: fields.pop(name) for name in list(fields) if name in Params.__struct_fields__}
    return Request(model="llama", prompt=prompt, params=Params(**{"max_new": 12} | params), **fields)


async def answer(pool, asked):
    tokens = []

    def hear(ticket, event):
        if isinstance(event, Step):
            tokens.append(event.token)

    end = await pool.submit(asked, sink=hear).wait()
    return tokens, end


def ranks(pool):
    """The processes of the only replica, the leader first."""
    (status,) = pool.status()
    leader = psutil.Process(status.pid)
    return [leader, *leader.children()]


@pytest.mark.slow
@in_one_loop
async def test_tokens_are_those_of_one_process(pool, engine):
    single = engine("llama")
    (status,) = pool.status()
    assert status.capabilities.parameters == single.capabilities.parameters
    assert "shared by 2 devices" in " ".join(status.capabilities.notes)
    assert len(ranks(pool)) == 2

    lengths = [12, 5, 9, 12]
    asked = [request(p, max_new=n) for p, n in zip(PROMPTS, lengths, strict=True)]
    together = await asyncio.gather(*(answer(pool, one) for one in asked))
    for prompt, most, (tokens, end) in zip(PROMPTS, lengths, together, strict=True):
        assert isinstance(end, Finished)
        assert tokens == ask(single, prompt, max_new=most).tokens

    for settings in ({"temperature": 1.0, "seed": 5}, {"beam": 3}, {"temperature": 1.0, "seed": 5, "n": 3}):
        _, end = await answer(pool, request(PROMPTS[1], **settings))
        expected = ask(single, PROMPTS[1], **settings)
        assert end.text == expected.end.text
        assert [h.tokens for h in end.hypotheses] == [h.tokens for h in expected.end.hypotheses]


@pytest.mark.slow
@in_one_loop
async def test_a_conversations_second_turn_goes_on_from_what_all_ranks_kept(pool, engine):
    end = (await answer(pool, request(LONG)))[1]
    heard = []
    ticket = pool.submit(request(LONG + end.text + " the hat"), sink=lambda t, event: heard.append(event))
    again = await ticket.wait()
    assert heard[0].reused >= 32
    assert again.text == ask(engine("llama"), LONG + end.text + " the hat").text


@pytest.mark.slow
@in_one_loop
async def test_guesses_are_read_and_cut_off_in_all_ranks(pool, engine):
    prompt = "the cat sat on the mat and " * 4
    tokens, end = await answer(pool, request(prompt, max_new=40))
    assert tokens == ask(engine("llama"), prompt, max_new=40).tokens
    assert 0 < end.accepted < end.drafted


@pytest.mark.slow
@in_one_loop
async def test_a_stop_leaves_the_group_in_step(pool, engine):
    streaming = asyncio.Event()
    ticket = pool.submit(request(LONG, max_new=25, min_new=25), sink=lambda *_: streaming.set())
    await streaming.wait()
    ticket.cancel()
    assert isinstance(await ticket.wait(), Stopped)
    tokens, _ = await answer(pool, request(PROMPTS[0]))
    assert tokens == ask(engine("llama"), PROMPTS[0]).tokens


@pytest.mark.slow
@in_one_loop
@pytest.mark.parametrize("rank", [0, 1])
async def test_the_death_of_one_is_the_death_of_all_and_the_replica_comes_back(pool, engine, rank):
    before = ranks(pool)
    os.kill(before[rank].pid, signal.SIGKILL)
    _, alive = await asyncio.to_thread(psutil.wait_procs, before, 20)
    assert not alive
    tokens, end = await answer(pool, request(PROMPTS[0]))
    assert isinstance(end, Finished)
    assert tokens == ask(engine("llama"), PROMPTS[0]).tokens
    assert {p.pid for p in ranks(pool)}.isdisjoint(p.pid for p in before)


@pytest.mark.parametrize(
    ("kind", "gpus", "words"),
    [
        ("llama", 3, "2 key-value heads cannot be shared by 3 devices"),
        ("bloom", 2, "no tensor-parallel plan for bloom"),
        ("t5", 2, "no tensor-parallel plan for t5"),
    ],
)
def test_what_cannot_be_shared_is_refused(kind, gpus, words, checkpoint, load):
    with pytest.raises(BackendError, match=words) as refused:
        load(checkpoint(kind), gpus=gpus)
    assert "gpus_per_replica" in refused.value.error.hint


def test_a_refusal_ends_the_load_and_not_the_session(checkpoint):
    async def run():
        spec = ModelSpec(name="llama", backend="hf", path=str(checkpoint("llama")), gpus=3)
        plan = ReplicaPlan(name="llama/0", model=spec, device="cpu:0")
        async with Coordinator([plan]) as pool:
            return await pool.submit(request("x")).wait()

    end = asyncio.run(run())
    assert isinstance(end, Failed)
    assert "cannot be shared" in end.error.message
