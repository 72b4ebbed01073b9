"""Rows in a static buffer: whatever happens to them, they are as eager ones."""

import random

import pytest

torch = pytest.importorskip("torch")

from backends.hf.compiled import steps
from backends.hf.compiled.buffer import Buffer
from backends.hf.compiled.rows import Place, StaticRows
from backends.hf.state.causal import CausalRows

KINDS = ["gpt2", "llama", "qwen3"]


def place(network, rows=4, length=48, sizes=(1, 2, 4)):
    """A buffer with eager steps of these sizes, and who has it."""
    buffer, eager = Buffer(network, rows, length), steps.Pass(network, length)
    ready = steps.Steps(eager, buffer)
    for size in sizes:
        ready.take(steps.Step(eager, buffer, size))
    return ready, Place()


def shared(network, where):
    rows = StaticRows(network, *where)
    rows.share()
    return rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
@torch.inference_mode()
def test_whatever_happens_to_them_they_are_as_eager_ones(kind, seed, network):
    draw = random.Random(seed)
    model = network(kind)
    where, inside = place(model), 0
    mine, theirs = shared(model, where), CausalRows(model)
    for rows in (mine, theirs):
        rows.prefill([[5, 6, 7], [8, 9]])
    for _ in range(60):
        match draw.choice(["decode"] * 4 + ["join", "leave", "reorder", "repeat", "crop", "feed"]):
            case "join" if mine.size < 5:
                prompts = [[draw.randrange(300) for _ in range(draw.randint(1, 9))] for _ in range(2)]
                for rows, other in ((mine, StaticRows(model, *where)), (theirs, CausalRows(model))):
                    other.prefill(prompts)
                    rows.join(other)
            case "leave":
                keep = sorted(draw.sample(range(mine.size), draw.randint(1, mine.size)))
                mine.select(keep)
                theirs.select(keep)
            case "reorder":
                order = draw.sample(range(mine.size), mine.size)
                mine.select(order)
                theirs.select(order)
            case "repeat" if mine.size < 3:
                mine.select([0, *range(mine.size)])
                theirs.select([0, *range(theirs.size)])
            case "crop" if min(map(mine.held, range(mine.size))) > 2:
                mine.crop(mine.length - 1)
                theirs.crop(theirs.length - 1)
            case "feed" if mine.size == 1:
                tokens = [draw.randrange(300) for _ in range(3)]
                torch.testing.assert_close(mine.feed(tokens), theirs.feed(tokens), atol=2e-4, rtol=0)
            case _:
                tokens = torch.tensor([draw.randrange(300) for _ in range(mine.size)])
                torch.testing.assert_close(mine.decode(tokens), theirs.decode(tokens), atol=2e-4, rtol=0)
                inside += mine.static
        held = [mine.held(row) for row in range(mine.size)]
        assert held == [theirs.held(row) for row in range(theirs.size)]
        row = draw.randrange(mine.size)
        for a, b in zip(mine.snapshot(row).layers, theirs.snapshot(row).layers, strict=True):
            torch.testing.assert_close(a.keys, b.keys, atol=2e-4, rtol=0)
            torch.testing.assert_close(a.values, b.values, atol=2e-4, rtol=0)
    assert inside > 5


@torch.inference_mode()
def test_the_buffer_is_used_to_its_last_place(network):
    model = network("llama")
    mine, theirs = shared(model, place(model, length=6)), CausalRows(model)
    for rows in (mine, theirs):
        rows.prefill([[5, 6, 7]])
    inside = []
    for token in range(6):
        a, b = (rows.decode(torch.tensor([token])) for rows in (mine, theirs))
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)
        inside.append(mine.static)
    assert inside == [True] * 3 + [False] * 3


@torch.inference_mode()
def test_rows_whose_place_is_taken_go_on_without(network):
    model = network("llama")
    where = place(model)
    first, second, eager = shared(model, where), shared(model, where), CausalRows(model)
    for rows in (first, second, eager):
        rows.prefill([[5, 6, 7]])
    token = torch.tensor([9])
    first.decode(token)
    second.decode(token)
    assert not first.static and second.static
    eager.decode(token)
    torch.testing.assert_close(first.decode(token), eager.decode(token), atol=2e-4, rtol=0)
    assert first.static and not second.static


@torch.inference_mode()
def test_the_least_step_that_is_large_enough_is_taken(network):
    model, taken = network("llama"), []
    where = place(model)
    for step in where[0]._ready:
        step.use(lambda step=step: taken.append(step.size.rows) or step.eagerly())
    rows = shared(model, where)
    rows.prefill([[5], [6], [7], [8]])
    for keep in ([0, 1, 2, 3], [0, 2, 3], [1, 2], [1]):
        rows.select(keep)
        rows.decode(torch.tensor([3] * len(keep)))
    assert taken == [4, 4, 2, 1]


@torch.inference_mode()
def test_rows_stay_outside_until_there_is_a_step_for_so_many(network):
    model = network("llama")
    ready, who = place(model, sizes=())
    eager, buffer = steps.Pass(model, 48), ready.buffer
    mine, theirs = shared(model, (ready, who)), CausalRows(model)
    for rows in (mine, theirs):
        rows.prefill([[5, 6, 7], [8, 9]])
    inside = []
    for size in (None, 1, 4, None):
        if size is not None:
            ready.take(steps.Step(eager, buffer, size))
        a, b = (rows.decode(torch.tensor([3, 4])) for rows in (mine, theirs))
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)
        inside.append(mine.static)
    assert inside == [False, False, True, True] and [size.rows for size in ready.sizes] == [1, 4]
