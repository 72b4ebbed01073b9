"""Where answers part as they grow, against the function that looks at whole answers; and the strip of two."""

from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Step
from repl.probe.diff import first_divergence
from repl.session.answer import Answer
from repl.tui.tokens.parting import Cell, Parting, profile, strip, words
from tests.tui.support import Desk, line_with

PIECES = st.lists(st.sampled_from([b"a", b"b", b"ab", b""]), max_size=6)


def step(piece: bytes, bits: float | None = None) -> Step:
    lp = None if bits is None else -bits * 0.6931471805599453
    return Step(id=0, index=0, token=0, piece=piece, text=piece.decode(), raw_lp=lp)


def growing(count: int) -> list[Any]:
    return [SimpleNamespace(answer=Answer(), done=False, finish="") for _ in range(count)]


@given(st.lists(PIECES, min_size=2, max_size=3), st.data())
def test_growing_answers_part_where_whole_ones_do(answers: list[list[bytes]], data: st.DataObject) -> None:
    exchanges = growing(len(answers))
    parting = Parting(exchanges)
    left = [list(pieces) for pieces in answers]
    while any(not x.done for x in exchanges):
        at = data.draw(st.sampled_from([n for n, x in enumerate(exchanges) if not x.done]))
        if left[at]:
            exchanges[at].answer.steps.append(step(left[at].pop(0)))
        else:
            exchanges[at].done, exchanges[at].finish = True, data.draw(st.sampled_from(["eos", "length"]))
        parting.update()
        seen = [[s.piece for s in x.answer.steps] for x in exchanges]
        assert parting.tokens == first_divergence(seen, running=[x.finish != "eos" for x in exchanges])
    texts = {b"".join(pieces) for pieces in answers}
    assert parting.same == (len(texts) == 1 and texts != {b""})


def test_an_answer_that_was_taken_back_is_read_anew() -> None:
    a, b = growing(2)
    parting = Parting([a, b])
    a.answer.steps = [step(b"x"), step(b"y")]
    b.answer.steps = [step(b"x"), step(b"z")]
    parting.update()
    assert parting.tokens == (1, 1)
    b.answer.steps = [step(b"x"), step(b"y")]
    b.answer.rewrites = 1
    parting.update()
    assert parting.tokens == (None, None)


def test_the_profile_of_complete_answers_is_aligned_on_bytes() -> None:
    a = [step(b"the", 1.0), step(b" red", 2.0), step(b" house", 3.0)]
    b = [step(b"the", 4.0), step(b" blue", 2.0), step(b" hou", 2.0), step(b"se", 2.0)]
    cells = profile(a, b, complete=True)
    assert [(c.differs, None if c.bits is None else round(c.bits, 6)) for c in cells] == [
        (False, 3.0),
        (True, None),
        (False, 1.0),
    ]
    assert words(cells) == "2 of 3 tokens shared · mean Δ +2.00 bits"
    growing_cells = profile(a, b, complete=False)
    assert [c.differs for c in growing_cells] == [False, True, True]


def test_the_strip_tells_the_most_where_room_is_short() -> None:
    cells = [Cell(False, 0.1), Cell(False, 3.0), Cell(False, -6.0), Cell(True, None), Cell(False, None)]
    assert strip(cells, 9) == [("·", "muted"), ("▄", ""), ("▇", "success"), ("≠", "warning"), ("·", "muted")]
    assert strip(cells, 2) == [("▄", ""), ("≠", "warning")]
    assert strip([], 5) == strip(cells, 0) == []


def test_what_is_seen_is_compared_not_how_a_tokenizer_writes_it() -> None:
    a, b = growing(2)
    a.answer.steps = [step(b"9"), msgspec.structs.replace(step(b"0"), text=" 0"), step(b"</s>", 1.0)]
    a.answer.steps[-1] = msgspec.structs.replace(a.answer.steps[-1], text="")
    b.answer.steps = [step(b"9"), step(b" 0")]
    parting = Parting([a, b])
    for x in (a, b):
        x.done, x.finish = True, "eos"
    parting.update()
    assert parting.tokens == (None, None)
    assert parting.same


async def test_panes_mark_where_their_answers_part_and_a_strip_shows_it() -> None:
    async with Desk("early", "late").running(100, 24) as desk:
        early, late = await desk.ask("go")
        early.start().say("is", " used", " to")
        late.start().say("is")
        await desk.until(lambda: "is" in desk.lines("late"))
        assert not any("≠" in line for line in desk.lines("early"))
        late.say(" the")
        await desk.until(lambda: "≠ from token 1" in line_with(desk.lines("late"), "#2"))
        assert line_with(desk.lines("early"), "#1") == "● answering · ≠ from token 1 · #1"
        await desk.until(lambda: any(row.startswith(" ·≠") for row in desk.drawn()))
        early.finish()
        late.finish()
        await desk.until(lambda: any("1 of 3 tokens shared" in row for row in desk.drawn()))
        assert "≠ from token 1" in line_with(desk.lines("early"), "tok/s")


async def test_panes_with_the_same_answer_say_so() -> None:
    async with Desk("early", "late").running(100, 24) as desk:
        for answering in await desk.ask("go"):
            answering.start().say("just", " this").finish()
        await desk.until(lambda: "= the same" in " ".join(desk.lines("late")))
        await desk.until(lambda: "= the same" in " ".join(desk.lines("early")))


async def test_an_answer_that_failed_or_was_cut_does_not_part_where_it_ended() -> None:
    async with Desk("early", "late").running(100, 24) as desk:
        early, late = await desk.ask("go")
        early.start().say("one", " two", " three").finish()
        late.start().say("one").fail("out of memory")
        await desk.until(lambda: any("failed" in line for line in desk.lines("late")))
        assert "≠" not in " ".join(desk.lines("early") + desk.lines("late"))


async def test_marking_answers_brings_no_pane_back_that_was_put_away() -> None:
    async with Desk("a", "b", "c").running() as desk:
        asked = await desk.ask("hello")
        for answering in asked:
            answering.start().say("hi")
        await desk.command("/compare c a")
        await desk.until(lambda: desk.app.panes.order == ["c", "a"])
        for answering in asked[:2]:
            desk.app.comparing.touch(answering.exchange)
            desk.app.comparing._partings[asked[0].exchange.line]._parted = True
        desk.app.clock.tick()
        assert desk.app.panes.order == ["c", "a"]


async def test_one_answer_alone_has_no_mark_and_no_strip() -> None:
    async with Desk("early", "late").running(100, 24) as desk:
        (early,) = await desk.ask("@early go")
        early.start().say("one", " two").finish()
        await desk.until(lambda: any("tok/s" in line for line in desk.lines("early")))
        text = "\n".join(desk.drawn())
        assert "≠" not in text
        assert "shared" not in text


async def test_linked_panes_scroll_to_the_same_answer_and_row() -> None:
    async with Desk("early", "late").running(80, 20) as desk:
        for n in range(3):
            early, late = await desk.ask(f"question {n}")
            early.start().say(*(f"early {n} {row}\n" for row in range(20))).finish()
            late.start().say(*(f"late {n} {row}\n" for row in range(30))).finish()
            await desk.until(lambda late=late: late.exchange.done)
        await desk.until(lambda: any("late 2 29" in row for row in desk.drawn()))
        await desk.pilot.press("alt+1", "home")
        assert desk.pane("late").following
        await desk.pilot.press("f5", "pagedown", "pagedown")
        assert not desk.pane("late").following

        def firsts() -> list[str]:
            row = next(row for row in desk.drawn()[2:] if "early" in row)
            return row.split()

        await desk.until(lambda: firsts()[1:3] == firsts()[4:6], "the same question and row")
        await desk.pilot.press("end")
        await desk.until(lambda: desk.pane("late").following)
        await desk.pilot.press("f5", "home")
        assert desk.pane("late").following
