"""The heat of tokens in panes, and the cursor that walks them."""

import math

import pytest

from repl.messages import Step
from repl.tui.tokens.cursor import choices
from tests.tui.support import Answering, Desk

BITS = math.log(2)


def says(answering: Answering, *tokens: tuple[str, float], top: bool = True) -> Answering:
    """Tokens with their surprisals; beside each, a first choice of half a bit and a last one of nine."""
    for text, bits in tokens:
        others = ((50, -0.5 * BITS, b" best"), (51, -9.0 * BITS, b" worst"))
        mine = (len(answering.texts), -bits * BITS, text.encode())
        listed = tuple(sorted((mine, *others), key=lambda entry: -entry[1])) if top else ()
        answering._deliver(
            Step(
                id=0,
                index=len(answering.texts),
                token=len(answering.texts),
                piece=text.encode(),
                text=text,
                raw_lp=-bits * BITS,
                rank=0 if bits < 0.5 else 1,
                entropy=2 * BITS,
                top=listed,
            )
        )
        answering.texts.append(text)
    return answering


TOKENS = (("is", 0.1), (" used", 3.1), (" to", 1.6), (" wrap", 8.0))


async def walking(desk: Desk, *tokens: tuple[str, float], top: bool = True) -> Answering:
    """One answer that is complete, with the cursor on its first token."""
    (early,) = await desk.ask("go")
    says(early.start(), *(tokens or TOKENS), top=top).finish()
    await desk.until(lambda: any("tok/s" in row for row in desk.drawn()))
    await desk.pilot.press("f3")
    await desk.until(lambda: desk.app.tokens.strip.display)
    return early


def cursor_text(desk: Desk, model: str = "early") -> str:
    pane = desk.pane(model)
    assert pane.cursor is not None
    lines = pane.cursor.block.body
    return "".join(x.text[x.cursor.start : x.cursor.end] for x in lines if x.cursor is not None)


async def test_heat_comes_and_goes_by_a_key_with_a_row_of_marks() -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("go")
        says(early.start(), *TOKENS[:2])
        await desk.pilot.press("f4")
        await desk.until(lambda: desk.session.heat == "bits")
        says(early, *TOKENS[2:])
        await desk.until(lambda: any(" is used to wrap" in row for row in desk.drawn()))
        rows = desk.drawn()
        at = next(y for y, row in enumerate(rows) if " is used to wrap" in row)
        assert rows[at + 1].rstrip() == "   ▂    ▁  ▅"
        early.finish()
        await desk.until(lambda: early.exchange.done and "▂" in "".join(desk.drawn()))
        await desk.pilot.press("f4", "f4", "f4")
        assert desk.session.heat == "off"
        await desk.until(lambda: "▂" not in "".join(desk.drawn()))
        assert "is used to wrap" in desk.lines("early")


async def test_streaming_with_heat_wraps_only_what_grows() -> None:
    async with Desk("early").running(40, 20) as desk:
        (early,) = await desk.ask("go")
        await desk.pilot.press("f4")
        says(early.start(), *((f" word{n}", 2.0) for n in range(30)))
        await desk.until(lambda: "word29" in desk.lines("early")[1])
        line = desk.pane("early").transcript.blocks[0].body[0]
        before = list(line.cuts(desk.pane("early").row_width))
        says(early, (" more", 2.0))
        await desk.until(lambda: " more" in line.text)
        assert line.cuts(desk.pane("early").row_width)[: len(before)] == before


async def test_a_beam_that_changes_its_mind_keeps_heat_and_cursor_in_order() -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("go")
        await desk.pilot.press("f4")
        says(early.start(), *TOKENS)
        await desk.until(lambda: any("is used to wrap" in row for row in desk.drawn()))
        await desk.pilot.press("f3", "end")
        assert cursor_text(desk) == " wrap"
        early.rewind(1)
        says(early, (" blue", 8.0))
        await desk.until(lambda: "is blue" in desk.lines("early"))
        line = desk.pane("early").transcript.blocks[0].body[0]
        assert [(line.text[a:b], style) for a, b, style in line.spans] == [
            ("is", "heat0"),
            (" blue", "heat5"),
        ]
        assert desk.pane("early").cursor.index == 3
        await desk.until(lambda: any("taken back" in row for row in desk.drawn()))
        await desk.pilot.press("left")
        assert cursor_text(desk) == " blue"


async def test_keys_walk_the_tokens() -> None:
    async with Desk("early").running() as desk:
        await walking(
            desk, ("in", 1.0), ("put", 1.0), (" is\n", 1.0), ("next", 1.0), (" word", 1.0), ("", 1.0)
        )
        steps = [
            ("right", "put"),
            ("ctrl+right", " is"),
            ("ctrl+right", "next"),
            ("w", " word"),
            ("right", ""),
        ]
        for key, text in [*steps, ("b", " word"), ("home", "in"), ("left", "in"), ("end", "")]:
            await desk.pilot.press(key)
            assert cursor_text(desk) == text, key
        assert any("∅" in row for row in desk.drawn())
        await desk.pilot.press("escape")
        assert desk.pane("early").cursor is None
        await desk.until(lambda: not desk.app.tokens.strip.display)
        assert not any("∅" in row for row in desk.drawn())


async def test_the_strip_tells_what_else_the_model_thought_of() -> None:
    async with Desk("early").running() as desk:
        await walking(desk)
        await desk.pilot.press("right")
        text = "\n".join(desk.drawn())
        assert "#1 @1 of 4 tokens" in text
        assert "·used · id 1 · 3.10 bits · 1 likelier · H 2.00 bits" in text
        rows = [row for row in desk.drawn() if " % " in row]
        assert [row.split()[:4] for row in rows] == [
            ["1", "·best", "70.71", "%"],
            ["▸", "2", "·used", "11.66"],
            ["3", "·worst", "0.20", "%"],
        ]
        assert rows[1].rstrip().endswith("answered")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["1", "enter"], "/branch #1 @1 ~1"),
        (["3", "enter"], "/branch #1 @1 ~3"),
        (["up", "enter"], "/branch #1 @1 ~1"),
        (["down", "up", "down", "down", "enter"], "/branch #1 @1 ~3"),
        (["enter"], "/branch #1 @1 #1"),
    ],
)
async def test_enter_branches_with_what_is_chosen(keys: list[str], line: str) -> None:
    async with Desk("early").running() as desk:
        await walking(desk)
        sent: list[str] = []
        desk.app.submit_line = sent.append
        await desk.pilot.press("right", *keys)
        await desk.until(lambda: sent)
        assert sent == [line]
        assert desk.pane("early").cursor is None


async def test_h_prepares_the_line_that_lets_another_model_go_on() -> None:
    async with Desk("early", "late", compare=["early"]).running() as desk:
        await walking(desk)
        await desk.pilot.press("right", "right", "h")
        await desk.until(lambda: desk.app.prompt.text == "/handoff late #1 @2")
        assert desk.app.prompt.has_focus
        assert desk.pane("early").cursor is None


async def test_the_cursor_begins_where_an_answer_parts_from_the_one_beside_it() -> None:
    async with Desk("early", "late").running() as desk:
        early, late = await desk.ask("go")
        says(early.start(), *TOKENS).finish()
        says(late.start(), *TOKENS[:2], (" by", 2.0)).finish()
        await desk.until(lambda: any("≠ from token 2" in line for line in desk.lines("late")))
        await desk.pilot.press("alt+2", "f3")
        assert cursor_text(desk, "late") == " by"


async def test_c_copies_the_token_as_it_is() -> None:
    async with Desk("early").running() as desk:
        await walking(desk, ("\x1b[31m", 1.0), (" b", 1.0))
        await desk.pilot.press("c")
        assert desk.app.clipboard == "\x1b[31m"
        await desk.until(lambda: any("copied ␛[31m" in row for row in desk.drawn()))


async def test_an_answer_without_alternatives_says_how_to_have_them_and_is_scored() -> None:
    async with Desk("early").running() as desk:
        early = await walking(desk, top=False)
        assert any("/logprobs on keeps them" in row for row in desk.drawn())
        await desk.pilot.press("f")
        await desk.until(lambda: len(desk.pool.tickets) == 2)
        request = desk.pool.tickets[1].request
        assert (request.task, request.prompt, request.target_ids) == ("score", "go", (0, 1, 2, 3))
        early.exchange.ticket = desk.pool.tickets[1]  # the one that plays goes on with the other request
        early.texts.clear()
        says(early.start(), *TOKENS).finish()
        await desk.until(lambda: any("·best" in row for row in desk.drawn()))


async def test_a_click_chooses_the_pane_then_the_token() -> None:
    async with Desk("early", "late").running(100, 24) as desk:
        for answering in await desk.ask("go"):
            says(answering.start(), *TOKENS).finish()
        await desk.until(lambda: sum("is used to wrap" in row for row in desk.drawn()) == 1)
        y = next(y for y, row in enumerate(desk.drawn()) if "is used" in row)
        x = desk.pane("late").region.x
        await desk.pilot.click(offset=(x + 6, y))
        await desk.until(lambda: desk.pane("late").has_focus)
        assert desk.pane("late").cursor is None
        await desk.pilot.click(offset=(x + 6, y))
        await desk.until(lambda: desk.pane("late").cursor is not None)
        assert cursor_text(desk, "late") == " used"
        await desk.pilot.click(offset=(x + 10, y))
        await desk.until(lambda: cursor_text(desk, "late") == " to")


async def test_the_cursor_stays_in_sight_and_so_does_the_strip() -> None:
    async with Desk("early").running(30, 16) as desk:
        (early,) = await desk.ask("go")
        says(early.start(), *((f" word{n}", 2.0) for n in range(200))).finish()
        await desk.until(lambda: any("tok/s" in row for row in desk.drawn()))
        for key in ("f3", "home", "end", *["ctrl+left"] * 9, "home"):
            await desk.pilot.press(key)
            await desk.until(lambda: desk.pane("early").cursor_cell() is not None)
            strip = desk.app.tokens.strip.region
            assert desk.app.screen.region.contains_region(strip)
        await desk.pilot.resize_terminal(50, 20)
        await desk.until(lambda: desk.pane("early").cursor_cell() is not None)


async def test_typing_after_the_cursor_has_left_goes_to_the_prompt_again() -> None:
    async with Desk("early").running() as desk:
        await walking(desk)
        await desk.pilot.press("x", "escape", "x")
        assert desk.app.prompt.text == "x"


async def test_without_any_token_the_key_says_so() -> None:
    async with Desk("early").running() as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: any("no answer here has tokens yet" in row for row in desk.drawn()))


def test_the_answered_token_is_listed_even_where_it_was_unlikely() -> None:
    step = Step(id=0, index=0, token=9, piece=b"x", text="x", raw_lp=-7.0, top=((1, -0.1, b"a"),))
    assert [(c.token, c.answered) for c in choices(step)] == [(1, False), (9, True)]


async def test_a_branch_says_in_its_pane_where_it_comes_from() -> None:
    async with Desk("early").running() as desk:
        await walking(desk)
        await desk.pilot.press("3", "enter")
        await desk.until(lambda: any("branch of #1" in row for row in desk.drawn()))
        assert not any(exchange.done for exchange in desk.session.exchanges[1:])
