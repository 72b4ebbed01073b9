"""Commands about answers: stop, retry, edit, copy, history, export."""

import pytest

from tests.session.support import config, pool_of


async def test_stop(do, session):
    assert "nothing is running" in await do("/stop")
    await do("hello", "/stop b")
    assert [x.state for x in session.exchanges] == ["queued", "stopped"]
    assert "no model" in await do("/stop zz")


async def test_retry_by_number_by_default_and_with_another_seed(do, session):
    assert "nothing has been asked" in await do("/retry")
    await do("one", "two")
    await do("/retry")
    assert [(x.model, x.prompt) for x in session.exchanges[4:]] == [("a", "two"), ("b", "two")]
    assert session.exchanges[4].seed == session.exchanges[2].seed
    await do("/retry new #1")
    assert (session.exchanges[-1].prompt, session.exchanges[-1].model) == ("one", "a")
    assert session.exchanges[-1].seed != session.exchanges[0].seed
    assert "no answer #99" in await do("/retry #99")
    assert "'x' is not the number" in await do("/retry x")
    assert "is not the number" in await do("/retry #" + "9" * 400)


async def test_edit_puts_the_prompt_back_and_the_next_line_replaces_it(opened, screen):
    session = opened(config(a={"options": {"chat": True}}))
    pool = pool_of(session)
    for line in ("one", "two", "three"):
        await session.run(line, screen)
        pool.answer_all(f"re {line}")
    await session.run("/edit #2", screen)
    assert screen.input == "two"
    await session.run("zwei", screen)
    assert [m.text for m in pool.tickets[-1].request.history] == ["one", "re one"]
    pool.answer_all()
    await session.run("vier", screen)
    assert [m.text for m in pool.tickets[-1].request.history] == ["one", "re one", "zwei", "fine"]


async def test_reset_starts_a_new_conversation(opened, screen):
    session = opened(config(a={"options": {"chat": True}}))
    pool = pool_of(session)
    await session.run("one", screen)
    pool.answer_all()
    await session.run("/reset", screen)
    await session.run("two", screen)
    assert pool.tickets[-1].request.history == ()
    assert session.exchanges[0].conversation != session.exchanges[1].conversation


async def test_history_searches_prompts_and_answers(do, session):
    assert "nothing has been asked" in await do("/history")
    await do("find me", "other")
    pool_of(session).answer_all("an ANSWER 100%")
    assert "#1" in await do("/history find")
    listing = await do("/history answer 100%")
    assert all(f"#{n}" in listing for n in (1, 2, 3, 4))
    assert "nothing asked or answered has" in await do("/history 100_")


async def test_history_shows_what_still_runs(do):
    assert "[queued]" in await do("running", "/history")


async def test_copy(do, session, screen):
    assert "nothing has been asked" in await do("/copy")
    await do("one")
    assert "no text yet" in await do("/copy #1")
    pool_of(session).answer_all("yes \x1b[0m")
    await do("/copy #1")
    assert screen.clipboard == "yes \x1b[0m"
    await do("/copy")
    assert screen.clipboard == "a #1:\nyes \x1b[0m\n\nb #2:\nyes \x1b[0m"
    screen.has_clipboard = False
    assert "no clipboard" in await do("/copy")


async def test_export_writes_never_overwrites_and_names_the_file(do, session, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "nothing to export" in await do("/export ~/x.md")
    await do("one", "two")
    pool_of(session).answer_all()
    assert f"{tmp_path}/x.md has 4 answers" in await do("/export ~/x.md")
    before = (tmp_path / "x.md").read_text()
    assert "/export ~/x.md ! replaces it" in await do("/export ~/x.md #1")
    assert (tmp_path / "x.md").read_text() == before
    assert "x.md has 1 answer" in await do("/export ~/x.md #1 !")
    assert (tmp_path / "x.md").read_text() != before
    assert [p.name for p in tmp_path.iterdir()] == ["x.md"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("", "which file?"),
        ("x.pdf", "x.pdf: there is no format '.pdf'"),
        ("x.htm", "did you mean .html?"),
        ("/nowhere/at/all.md", "/nowhere/at/all.md cannot be written: No such file"),
        ("'open.md", "close the quotes"),
        ("x.md #44", "no answer #44"),
        ("~nobody-of-that-name/x.md", "cannot be written"),
        ("'nul\0.md'", "cannot be written"),
    ],
)
async def test_export_errors(do, session, argument, words):
    await do("one")
    pool_of(session).answer_all()
    assert words in await do(f"/export {argument}")


async def test_earlier_sessions_answers_can_be_named(opened, screen, tmp_path):
    first = opened(path=tmp_path / "r.db")
    first.ask("long ago")
    pool_of(first).answer_all("indeed")
    await first.close()
    later = opened(path=tmp_path / "r.db")
    await later.run("/copy #2", screen)
    assert screen.clipboard == "indeed"
    await later.run("/retry #2", screen)
    assert (later.exchanges[0].prompt, later.exchanges[0].id) == ("long ago", 3)


async def test_retry_of_an_earlier_sessions_answer_has_its_conversation(opened, screen, tmp_path):
    chosen = config(a={"options": {"chat": True}})
    first = opened(chosen, tmp_path / "r.db")
    for line in ("one", "two", "three"):
        first.ask(line)
        pool_of(first).answer_all(f"re {line}")
    await first.close()
    later = opened(chosen, tmp_path / "r.db")
    await later.run("/retry #2", screen)
    (ticket,) = pool_of(later).tickets
    assert ticket.request.prompt == "two"
    assert [m.text for m in ticket.request.history] == ["one", "re one"]
