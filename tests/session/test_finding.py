"""Looking for answers in the record."""

from repl.messages import (
    Stopped,
)
from tests.session.recording import exchange, recorded


async def test_search(tmp_path, store_at):
    store = store_at(tmp_path / "r.db")
    store.record(exchange(1, prompt="The With statement"))
    store.record(exchange(2, text="50 % done"))
    store.record(exchange(3, text="a_b\\c", terminal=Stopped(id=1)))
    assert [f.id for f in await store.search("with")] == [1]
    assert [f.id for f in await store.search("%")] == [2]
    assert [f.id for f in await store.search("a_b\\c")] == [3]
    assert [f.id for f in await store.search("axb")] == []
    assert [f.id for f in await store.search(limit=2)] == [2, 3]
    assert (await store.exchange(2)).answer.text == "50 % done"
    assert await store.exchange(9) is None


async def test_search_finds_parts_of_words_in_any_script(tmp_path, store_at):
    store = store_at(tmp_path / "r.db")
    store.record(exchange(1, prompt="Überraschung"))
    store.record(exchange(2, prompt='say "AND" NOT*'))
    store.record(exchange(3, text="どこへ行くのか"))
    store.record(exchange(4, request={"task": "score", "target": "a scored sentence"}))
    assert [f.id for f in await store.search("rraschu")] == [1]
    assert [f.id for f in await store.search('"and" not*')] == [2]
    assert [f.id for f in await store.search("へ行く")] == [3]
    assert [f.id for f in await store.search("scored sent")] == [4]


async def test_what_probes_ask_for_themselves_is_recorded_but_not_listed(tmp_path, store_at):
    await recorded(tmp_path / "r.db", exchange(1), exchange(2, shown=False))
    store = store_at(tmp_path / "r.db")
    assert [f.id for f in await store.search()] == [1]
    assert [x.id for x in (await store.resume()).exchanges] == [1]
    assert (await store.exchange(2)).id == 2
