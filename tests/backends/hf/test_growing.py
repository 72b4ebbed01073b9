"""Keys and values that grow in place hold what transformers' own layers hold, whatever is done to them."""

import random
import weakref

import pytest

torch = pytest.importorskip("torch")

from transformers import DynamicCache

from backends.hf.state.causal import CausalRows
from backends.hf.state.growing import CHUNK, GrowingCache, Room
from tests.backends.hf.support import request, run

SHAPE = (3, 2, 4)
"""Rows, heads, size."""


def tokens(count, rows=SHAPE[0]):
    return torch.randn(rows, SHAPE[1], count, SHAPE[2])


def both(most=10**6):
    room = Room()
    room.most = most
    return GrowingCache(room), DynamicCache()


def add(caches, count):
    held = caches[0].layers[0].keys if caches[0].layers else tokens(0)
    keys, values = tokens(count, len(held)), tokens(count, len(held))
    (mine, theirs) = (cache.update(keys, values, 0) for cache in caches)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def change(caches, how):
    for cache in caches:
        layer = cache.layers[0]
        layer.keys, layer.values = how(layer.keys), how(layer.values)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_done_to_them_they_hold_the_same(seed):
    torch.manual_seed(seed)
    chance, caches, kept = random.Random(seed), both(most=seed * 10), []
    add(caches, chance.randint(1, 40))
    for _ in range(60):
        length, rows = caches[0].get_seq_length(), len(caches[0].layers[0].keys)
        match chance.randrange(8):
            case 0:
                add(caches, chance.randint(2, 40))
            case 1:
                order = torch.tensor([chance.randrange(rows) for _ in range(chance.randint(1, 4))])
                change(caches, lambda held, order=order: held.index_select(0, order))
            case 2 if length > 3:
                cut = chance.randint(1, length - 1)
                change(caches, lambda held, cut=cut: held[:, :, :cut])
            case 3 if length > 3:
                cut = chance.randint(1, length - 1)
                change(caches, lambda held, cut=cut: held[:, :, cut:])
            case 4:
                caches[0].keep()
                layer = caches[0].layers[0]
                kept.append((layer.keys, layer.keys.clone(), layer.values, layer.values.clone()))
            case _:
                add(caches, 1)
    for keys, as_it_was, values, as_they_were in kept:
        assert torch.equal(keys, as_it_was) and torch.equal(values, as_they_were)


def test_a_token_more_is_written_where_there_is_room_for_it():
    caches = both()
    add(caches, 10)
    places = set()
    for _ in range(CHUNK - 10):
        add(caches, 1)
        places.add(caches[0].layers[0].keys.data_ptr())
    assert len(places) == 1
    add(caches, 1)
    assert caches[0].layers[0].keys.data_ptr() not in places


def test_room_is_made_for_no_more_than_may_be_held():
    caches = both(most=CHUNK + 5)
    for _ in range(CHUNK + 8):
        add(caches, 1)
        room = caches[0].layers[0].keys.untyped_storage().nbytes() // (4 * SHAPE[0] * SHAPE[1] * SHAPE[2])
        length = caches[0].get_seq_length()
        assert room == (CHUNK if length <= CHUNK else max(length, CHUNK + 5))


def test_no_request_makes_room_for_more_than_it_may_hold(engine, monkeypatch):
    seen, forward = [], CausalRows._forward

    def watched(self, *args):
        logits = forward(self, *args)
        layer = self._cache.layers[0]
        seen.append(layer.keys.untyped_storage().nbytes() / layer.keys.nbytes * layer.keys.shape[2])
        return logits

    monkeypatch.setattr(CausalRows, "_forward", watched)
    run(engine("llama"), request(1, "z" * 5, max_new=40), request(2, "zz", max_new=9), gap=3)
    longest = 5 + 40
    assert CHUNK <= max(seen) <= longest


@pytest.mark.parametrize("what", ["select", "join"])
def test_what_was_held_before_goes_at_once(network, what):
    with torch.inference_mode():
        rows, more = CausalRows(network("llama")), CausalRows(network("llama"))
        for each in (rows, more):
            each.prefill([[5, 6, 7], [8, 9, 5]])
            each.reserve(100)
            each.decode(torch.tensor([3, 4]))
        layer = rows._cache.layers[0]
        before = [weakref.ref(held) for held in (layer.keys, layer.values, *layer._whole)]
        if what == "select":
            rows.select([1])
        else:
            rows.join(more)
    assert [each() for each in before] == [None] * 4


def test_a_snapshot_of_all_there_is_stays_as_it_was(network):
    with torch.inference_mode():
        rows = CausalRows(network("llama"))
        rows.prefill([[5, 6, 7]])
        rows.reserve(100)
        rows.feed([8])
        kept = rows.snapshot(0)
        before = [layer.keys.clone() for layer in kept.layers]
        rows.crop(2)
        rows.feed([9, 10, 11])
    assert all(torch.equal(layer.keys, held) for layer, held in zip(kept.layers, before, strict=True))
