"""`/parity` over toy models."""

import pytest

from tests.session.support import pool_of
from tests.session.teller import reading_session


@pytest.fixture
async def reading(screen):
    session = reading_session(screen, "a", "b", "c")
    pool_of(session).change("c", tasks=("generate", "score"), distributions=True)
    yield session
    await session.close()


@pytest.fixture
def do(reading, screen):
    async def do(line):
        screen.shown.clear()
        await reading.run(line, screen)
        return screen.shown[-1]

    return do


async def test_the_same_model_passes_and_another_fails(reading, do):
    same = await do("/parity a c a b c")
    assert (same.passed, same.matched, same.positions, same.compared) == (True, "ids", 3, 12)
    other = await do("/parity a b a b c")
    assert not other.passed
    assert (other.failure.text, other.failure.position) == (1, 1)
    reads = pool_of(reading).reads
    assert {(r.task, r.lane, r.distributions) for r in reads} == {("score", "exact", True)}


async def test_a_file_of_texts_with_sources(reading, do, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("a b\n\nsource => c a b\n" + "a\n" * 20)
    found = await do(f"/parity a b @{file}")
    assert (found.texts, found.positions) == (22, 2 + 3 + 20)
    assert found.failure.text == 1
    prompts = [(r.prompt, r.target) for r in pool_of(reading).reads if r.model == "a"]
    assert prompts[:3] == [("", "a b"), ("source", "c a b"), ("", "a")]


async def test_a_tolerance_of_ones_own(reading, do):
    found = await do("/parity a b tol=2 a b c")
    assert (found.passed, found.tolerance) == (True, 2.0)
    pool_of(reading).change("b", dtype="float16")
    assert (await do("/parity a b a")).tolerance == 2e-2


async def test_other_vocabularies_are_matched_by_their_bytes(reading, do):
    pool_of(reading).change("c", vocab_fingerprint="other")
    found = await do("/parity a c a b c")
    assert (found.passed, found.matched) == (True, "bytes")
    assert not any(r.distributions for r in pool_of(reading).reads)


async def test_what_cannot_be_done_is_said(reading, do, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for line, words in {
        "/parity a": "which two models?",
        "/parity a b": "which text?",
        "/parity a b tol=-1 x": "tol=-1 is not a tolerance",
        "/parity a b @/nowhere": "/nowhere cannot be read",
        "/parity a b @/dev/zero": "/dev/zero is not a file",
        f"/parity a b @{empty}": "is empty",
    }.items():
        assert words in (await do(line)).text
    pool_of(reading).broken.add("b")
    assert "b on b/" in (await do("/parity a b a")).text
