import pytest

from repl.messages import Error
from repl.session import commands
from repl.session.frontend import Notice, Table
from tests.session.support import config, pool_of


@pytest.fixture
def do(session, screen):
    """Types lines; returns what was shown."""

    async def do(*lines):
        screen.shown.clear()
        for line in lines:
            await session.run(line, screen)
        return screen.words()

    return do


def completions(session, line):
    return [line[: c.start] + c.text for c in commands.complete(session, line)]


async def test_every_command_explains_and_names_itself(do):
    listing = await do("/help")
    assert len({c.name for c in commands.COMMANDS}) == len(commands.COMMANDS)
    for command in commands.COMMANDS:
        assert f"/{command.name}" in listing
        assert command.help in listing
        assert "\n" not in command.help
        assert command.help in await do(f"/help {command.name}")
    assert "@@" in listing


EXPECTED = (
    "help models use compare set params stop retry edit reset system template replicas restart history export"
    " copy theme quit pin stats"
)


async def test_all_expected_commands_are_there():
    assert {c.name for c in commands.COMMANDS} >= set(EXPECTED.split())


@pytest.mark.parametrize("line", ["/", "/ ", "/nonsense", "/setx a b"])
async def test_unknown_commands_are_refused(do, screen, line):
    await do()
    assert "there is no command" in await do(line)


async def test_the_beginning_of_a_name_is_enough_of_a_hint(do):
    assert "did you mean 'temperature'?" in await do("/set temp 1")


async def test_unknown_command_suggests_the_nearest(do):
    assert "did you mean /replicas?" in await do("/replcas")


@pytest.mark.parametrize("line", ["/exit", "/q", "/QUIT", "/quit now"])
async def test_quit_and_its_aliases(do, screen, line):
    await do(line)
    assert screen.left


async def test_help_by_alias(do):
    assert "list the commands" in await do("/? help")


async def test_plain_and_escaped_lines_are_prompts(do, session):
    assert await do("hello", "//bin", "@@x") == ""
    assert [x.prompt for x in session.exchanges[::2]] == ["hello", "/bin", "@x"]


async def test_bad_lines_are_shown_and_the_session_goes_on(do, session):
    assert "empty" in await do("")
    assert "UTF-8" in await do("/system \udcff")
    assert "1,500,000 bytes" in await do("x" * 1_500_000)
    assert "nothing is called @zz" in await do("@zz hi")
    await do("fine")
    assert len(session.exchanges) == 2


async def test_use_and_compare_choose_the_models(do, session, screen):
    await do("/use b")
    assert (session.comparison, screen.panes) == (["b"], 1)
    await do("/compare b, a b")
    assert session.comparison == ["b", "a"]
    await do("/compare all")
    assert session.comparison == ["a", "b"]
    assert "comparing a, b" in await do("/compare")
    assert "no model 'c'" in await do("/use c")
    assert "/use NAME" in await do("/use")
    assert "no model 'c'" in await do("/compare a c")
    assert session.comparison == ["a", "b"]


async def test_models_and_replicas_are_listed(do):
    listing = await do("/models")
    assert "● | a | full | 2/2 ready | 1.0 M" in listing
    assert "b/1 | cuda:1 | ready | 0/4" in await do("/replicas")


async def test_replica_error_is_shown_with_its_hint(do, session):
    replicas = pool_of(session).replicas
    error = Error(kind="missing_file", message="no such file", hint="check the path")
    replicas["a/0"] = type(replicas["a/0"])(
        name="a/0", model="a", device="cuda:0", state="failed", error=error
    )
    assert "a/0: no such file. check the path" in await do("/replicas")


async def test_set_shows_sets_and_resets(do, session):
    await do("/set temperature 0.7")
    assert session.settings == {"temperature": 0.7}
    assert "temperature = 0.7 (set)" in await do("/set temperature")
    await do("/set top-k=5")
    assert session.settings["top_k"] == 5
    assert "top_k | 5" in await do("/set")
    await do("/set stop END,\\n")
    assert session.settings["stop"] == ("END", "\n")
    assert "stop = END,\\n" in await do("/set stop")
    await do("/set temperature default")
    assert "temperature" not in session.settings


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/set tempereture 1", "did you mean 'temperature'"),
        ("/set top_p 2", "top_p = 2"),
        ("/set temperature warm", "a number"),
        ("/set truncate middle", "off, left, right"),
    ],
)
async def test_bad_values_say_what_is_allowed(do, session, line, words):
    assert words in await do(line)
    assert session.settings == {}


async def test_set_warns_of_chosen_models_that_cannot(opened, screen):
    session = opened(config("b", a={"backend": "narrow"}, compare=("a", "b")))
    await session.run("/set top_k 5", screen)
    (warning,) = [n for n in screen.shown if isinstance(n, Notice) and n.level == "warning"]
    assert "a (narrow) cannot honour top_k" in warning.text
    screen.shown.clear()
    await session.run("/set temperature 0.5", screen)
    assert "≠ a: also alters beam scores" in screen.words()


async def test_params_marks_origin_difference_and_absence(opened, screen):
    models = {"a": {"backend": "narrow", "defaults": {"max_new": 9}}}
    session = opened(config("b", **models, compare=("a", "b")))
    await session.run("/set temperature 0.5", screen)
    await session.run("/set top_k 5", screen)
    screen.shown.clear()
    await session.run("/params", screen)
    (table,) = screen.shown
    assert isinstance(table, Table)
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["temperature"] == ("0.5 (set) ≠", "0.5 (set)")
    assert cells["top_k"] == ("— not 5 (set)", "5 (set)")
    assert cells["max_new"] == ("9 (config)", "128")
    assert cells["seed"][1] == "fresh for each line"
    assert cells["min_p"][0] == "—"
    assert any("temperature (narrow): also alters beam scores" in note for note in table.notes)


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


async def test_system_prompt(do, session):
    assert "no system prompt" in await do("/system")
    words = await do("/system be brief\nand kind")
    assert session.system == "be brief\nand kind"
    assert "a, b: no chat template" in words
    assert "be brief" in await do("/system")
    await do("/system off")
    assert session.system == ""


async def test_template(do, session):
    assert "configuration" in await do("/template")
    await do("/template off")
    assert session.template is False
    await do("/template on")
    assert session.template is True
    assert "not one of on, off, default" in await do("/template maybe")
    await do("/template default")
    assert session.template is None


async def test_restart(do, session):
    assert "which replica" in await do("/restart")
    assert "restarting a/1" in await do("/restart a/1")
    assert pool_of(session).restarted == ["a/1"]
    refused = await do("/restart x")
    assert "no replica 'x'" in refused
    assert "restarting" not in refused
    assert "restarting a/0 and a/1" in await do("/restart a")


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


async def test_theme(do, screen):
    assert "dark, light" in await do("/theme")
    await do("/theme light")
    assert screen.theme == "light"
    assert "did you mean dark?" in await do("/theme drak")


# -- export ----------------------------------------------------------------------------------------------


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


# -- completion ------------------------------------------------------------------------------------------


async def test_completion_of_lines(session, screen, tmp_path, monkeypatch):
    session.themes = screen.themes()
    session.ask("hello there")
    assert set(completions(session, "/re")) == {"/reset ", "/restart ", "/retry ", "/replicas ", "/rerun "}
    assert completions(session, "@a") == ["@a ", "@a/0 ", "@a/1 "]
    assert completions(session, "@a,b/") == ["@a,b/0 ", "@a,b/1 "]
    assert "@gpu0 " in completions(session, "@g")
    assert completions(session, "/use ") == ["/use a", "/use b"]
    assert completions(session, "/use a ") == []
    assert completions(session, "/compare a ") == ["/compare a b"]
    assert completions(session, "/set tr") == ["/set truncate"]
    assert completions(session, "/set truncate l") == ["/set truncate left"]
    assert completions(session, "/set seed ") == ["/set seed none", "/set seed default"]
    assert completions(session, "/set ban ") == ["/set ban none", "/set ban default"]
    assert completions(session, "/retry #2") == ["/retry #2"]
    assert completions(session, "/restart b/") == ["/restart b/0", "/restart b/1"]
    assert completions(session, "/theme l") == ["/theme light"]
    assert completions(session, "/help th") == ["/help theme"]
    assert completions(session, "/template o") == ["/template on", "/template off"]
    for line in ("hello", "//x", "@@x", "@a text", "/nonsense x", ""):
        assert completions(session, line) == []


async def test_completion_of_export_files(session, tmp_path, monkeypatch):
    (tmp_path / "old.md").touch()
    (tmp_path / "other.bin").touch()
    (tmp_path / "folder").mkdir()
    base = f"/export {tmp_path}/"
    assert completions(session, base) == [f"{base}folder/", f"{base}old.md"]
    assert completions(session, f"{base}old.md ") == [f"{base}old.md !"]
    assert completions(session, "/export /no/such/") == []


async def test_every_completer_survives_any_argument(session):
    for command in commands.COMMANDS:
        for argument in ("", " ", "x", "x y ", "\x1b", "~nobody-of-that-name/", "\0"):
            completions(session, f"/{command.name} {argument}")
