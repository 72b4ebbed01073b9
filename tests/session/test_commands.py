"""Commands in general, their completion, and those about models, replicas and the program."""

import pytest
from msgspec.structs import replace

from repl.messages import Error
from repl.session import commands
from tests.session.support import pool_of


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


async def test_what_a_model_says_of_how_it_runs_is_listed_once(do, session):
    replicas = pool_of(session).replicas
    for name in ("a/0", "a/1"):
        capabilities = replace(replicas[name].capabilities, notes=("runs on ONNX Runtime",))
        replicas[name] = replace(replicas[name], capabilities=capabilities)
    assert (await do("/replicas")).count("a: runs on ONNX Runtime") == 1


async def test_restart(do, session):
    assert "which replica" in await do("/restart")
    assert "restarting a/1" in await do("/restart a/1")
    assert pool_of(session).restarted == ["a/1"]
    refused = await do("/restart x")
    assert "no replica 'x'" in refused
    assert "restarting" not in refused
    assert "restarting a/0 and a/1" in await do("/restart a")


async def test_theme(do, screen):
    assert "dark, light" in await do("/theme")
    await do("/theme light")
    assert screen.theme == "light"
    assert "did you mean dark?" in await do("/theme drak")


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
