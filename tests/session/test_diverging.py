"""`/diverge`, `/accept` and `/noise` over toy models that can be worked out by hand."""

import math
from functools import partial

import msgspec
import pytest

from repl.probe.acceptance import Acceptance, tokens_a_pass
from repl.probe.gaps import Gaps
from repl.probe.noise import Noise
from repl.probe.parting import Divergence
from repl.session import commands
from tests.session.support import pool_of, typed
from tests.session.teller import reading_session
from tests.session.toy import NEXT


@pytest.fixture
async def reading(screen):
    session = reading_session(screen)
    yield session
    await session.close()


@pytest.fixture
def do(reading, screen):
    return partial(typed, reading, screen)


async def test_both_follow_the_first_ones_answer(reading, do):
    found = await do("hello", "/diverge a b")
    assert isinstance(found, Divergence)
    assert [p.id for p in found.positions] == [1, 2, 3, 0]
    assert (found.along, found.kind) == (1, "full")
    tv = [p.apart.tv for p in found.positions]
    assert tv == pytest.approx([0, 0.2, 0.2, 0], abs=1e-6)
    kl = 0.1 * math.log(1 / 2) + 0.6 * math.log(0.6 / 0.4) + 0.2 * math.log(0.2 / 0.3)
    assert found.positions[1].apart.kl == pytest.approx(kl, abs=1e-6)
    assert [p.apart.same_argmax for p in found.positions] == [True, True, False, True]
    assert found.first == 2
    assert (found.spots[0].top_a[0].id, found.spots[0].top_b[0].id) == (3, 1)
    scored = [r for r in pool_of(reading).reads if r.task == "score"]
    assert [(r.model, r.lane, r.target_ids) for r in scored] == [
        ("a", "exact", (1, 2, 3, 0)),
        ("b", "exact", (1, 2, 3, 0)),
    ]
    assert scored[0].prompt == "hello"


async def test_it_is_kept_in_the_record(reading, do):
    found = await do("hello", "/diverge a b #1")
    await reading.store.flush()
    sql = "SELECT gen_a, gen_b, pos, tv, argmax_eq, kl_kind FROM cmp ORDER BY pos"
    rows = await reading.store._read(lambda connection: connection.execute(sql).fetchall(), [])
    assert [row[:3] for row in rows] == [(found.a.exchange, found.b.exchange, at) for at in range(4)]
    assert [row[4] for row in rows] == [1, 1, 0, 1]
    assert {row[5] for row in rows} == {"full"}


async def test_a_prompt_is_answered_by_the_first(reading, do):
    found = await do("/diverge b a go")
    assert [(x.model, x.prompt, x.shown) for x in reading.exchanges] == [("b", "go", True)]
    assert found.along == reading.exchanges[0].id


async def test_a_model_against_itself_is_nowhere_apart(reading, do):
    found = await do("hello", "/diverge a a")
    assert {(p.apart.kl, p.apart.js, p.apart.tv, p.apart.same_argmax) for p in found.positions} == {
        (0.0, 0.0, 0.0, True)
    }


async def test_without_whole_distributions_there_are_bounds(reading, do):
    pool_of(reading).change("b", distributions=False)
    found = await do("hello", "/diverge a b")
    assert found.kind == "lower_bound"
    assert any("b tells no whole distribution" in note for note in found.notes)
    assert found.positions[2].apart.tv == pytest.approx(0.2, abs=1e-4)
    assert found.first == 2


async def test_models_of_other_vocabularies_are_compared_by_bytes(reading, do):
    pool_of(reading).change("b", vocab_fingerprint="other")
    found = await do("hello", "/diverge a b")
    assert isinstance(found, Gaps)
    assert [gap.piece for gap in found.gaps] == [b" a", b" b", b" c"]
    assert found.gaps[1].bits == pytest.approx(math.log2(0.6 / 0.4))
    assert "different vocabularies" in found.notes[0]


async def test_what_cannot_be_done_is_said(reading, do, screen):
    await do("/diverge a", "/diverge a b", "/diverge a b #99")
    assert [text for text, _ in screen.said()] == [
        "which two models?",
        "a has not answered anything yet",
        "there is no answer #99",
    ]
    pool_of(reading).change("b", tasks=("generate",))
    await do("hello", "/diverge a b")
    assert screen.said() == [("b (full) cannot score a text", "it can generate")]
    pool_of(reading).change("b", tasks=("generate", "score"))
    pool_of(reading).broken.add("b")
    await do("/diverge a b")
    assert screen.said()[0][0].startswith("b on b/")
    assert reading.figures == []


async def test_acceptance_is_one_less_the_variation(reading, do):
    found = await do("hello", "/accept b>a")
    assert isinstance(found, Acceptance)
    assert found.accepted == pytest.approx((1, 0.8, 0.8, 1), abs=1e-6)
    assert found.mean == pytest.approx(0.9)
    assert (found.draft, found.target, found.upper_bound) == ("b", "a", False)
    assert tokens_a_pass(0.5, 2) == pytest.approx(1.75)
    assert found.expected[1].tokens == pytest.approx(1 + 0.9 + 0.81)


async def test_a_draft_must_share_the_vocabulary(reading, do, screen):
    pool_of(reading).change("b", vocab_fingerprint="other")
    await do("hello", "/accept b>a", "/accept b", "/accept b>nobody")
    assert [text for text, _ in screen.said()] == [
        "b and a have different vocabularies",
        "which draft for which target?",
        "there is no model 'nobody'",
    ]


async def test_noise_of_a_model_that_has_none(reading, do):
    found = await do("hello", "/noise a")
    assert isinstance(found, Noise)
    assert found.positions == 4
    named = {way.way: way for way in found.ways}
    assert named["exact lane"].bit_equal and named["exact lane on a/1"].bit_equal
    live = named["written again, 3 in a pass"]
    assert (live.bit_equal, live.batch, live.difference, live.flips, live.js) == (True, 3, 0.0, 0, 0.0)
    assert named["as it was answered"].bit_equal
    assert named["float32"].why_not == "it runs in float32 already"
    fast = [(r.sample, r.params.max_new) for r in pool_of(reading).reads if r.lane == "fast"]
    assert fast == [(0, 128), (1, 20), (2, 20), (3, 20), (0, 4)]
    assert found.floor_js == 0.0


@pytest.mark.parametrize(
    "line,model,along", [("/noise #1", "a", 1), ("/noise", "b", 2), ("/noise b #1", "b", 1)]
)
async def test_noise_is_that_of_the_answers_own_model_where_none_is_named(line, model, along, reading, do):
    found = await do("hello", "@b hello", line)
    assert (found.model, found.along) == (model, along)


async def test_noise_of_nothing_is_refused(reading, screen):
    await reading.run("/noise", screen)
    assert screen.said() == [("whose noise?", "/noise [MODEL] [#id | TEXT]")]


async def test_noise_is_measured_and_greys_a_divergence(reading, do):
    pool_of(reading).jitter["a"] = 0.05
    found = await do("hello", "/noise a")
    live = next(way for way in found.ways if way.way.startswith("written"))
    assert not live.bit_equal
    assert live.difference == pytest.approx(0.05, abs=1e-6)
    assert live.js > 0
    apart = await do("/diverge a b")
    assert apart.noise_js == found.floor_js == live.js
    assert apart.first == 2


async def test_noise_that_changes_a_token_is_told(reading, do):
    pool_of(reading).tables["a"] = {**NEXT, None: (0.1, 0.45, 0.44, 0.01)}
    await do("hello")
    pool_of(reading).tables["a"] = {**NEXT, None: (0.1, 0.44, 0.45, 0.01)}
    found = await do("/noise a")
    again = next(way for way in found.ways if way.way.startswith("written"))
    assert (again.parted, again.bit_equal) == (0, False)


async def test_a_text_of_its_own_and_full_precision(screen):
    session = reading_session(screen, "a", "b")
    twin = {"path": session.models["a"].path, "dtype": "float32"}
    session.models["b"] = msgspec.structs.replace(session.models["b"], **twin)
    pool_of(session).change("a", dtype="bfloat16")
    await session.run("/noise a b c", screen)
    (found,) = [x for x in screen.shown if isinstance(x, Noise)]
    assert (found.along, found.positions, found.dtype) == (None, 2, "bfloat16")
    assert next(way for way in found.ways if way.way == "fast lane, 3 in a pass").bit_equal
    exact = found.ways[-1]
    assert exact.way == "float32, by b"
    assert exact.difference == pytest.approx(math.log(0.4 / 0.2), abs=1e-6)
    await session.close()


async def test_where_there_is_no_full_precision_it_is_said(reading, do):
    pool_of(reading).change("a", dtype="float16")
    found = await do("/noise a a b")
    assert "configure /models/a once more with dtype: float32" in found.ways[-1].why_not


async def test_arguments_are_completed(reading, do):
    await do("hello")

    def offered(line):
        return [line[: c.start] + c.text for c in commands.complete(reading, line)]

    assert offered("/diverge a ") == ["/diverge a b"]
    assert "/diverge a b #1" in offered("/diverge a b ")
    assert offered("/accept b>") == ["/accept b>a"]
    assert offered("/noise ") == ["/noise a", "/noise b", "/noise #1"]
    assert "/ensemble a+b" in offered("/ensemble a")
    assert offered("/ensemble a+b mode=g") == ["/ensemble a+b mode=geo"]
    assert offered("/parity a ") == ["/parity a b"]
    assert "/diff words" in offered("/diff ")
    assert offered("/compare diff o") == ["/compare diff on", "/compare diff off"]
