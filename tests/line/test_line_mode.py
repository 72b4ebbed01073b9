"""What a person sees and can do in line mode."""

import re
from pathlib import Path

import pytest

from repl.options import Options
from tests.line.conftest import models, sitting
from tests.pool.conftest import Gate

FOOT = r"\(\d+ tok.* · #\d+\)\n"


async def test_an_answer_stands_under_its_question_with_its_figures() -> None:
    async with sitting(models("a")) as line:
        line.type("hello there friend\r")
        await line.shows("#1)")
        found = re.search(r"hello there friend\n\((.*)\)\n", line.printed)
        assert found is not None
        parts = found[1].split(" · ")
        assert parts[0] == "3 tok"
        assert parts[-1] == "#1"
        assert not any(part.startswith("seed") for part in parts)  # nothing was drawn
        assert any(part.startswith("first ") for part in parts)


async def test_lines_are_printed_as_they_become_whole(gate: Gate) -> None:
    async with sitting(models("a", gate=str(gate.path))) as line:
        line.type("first\x1b\rsecond\x1b\rthird\r")  # Alt-Enter begins a new line
        gate.release(1)
        await line.until(lambda: bool(line.session.exchanges))
        assert line.session.exchanges[0].prompt == "first\nsecond\nthird"
        gate.release(10)
        await line.shows("#1)")


async def test_two_models_are_read_one_after_the_other() -> None:
    async with sitting(models("first", "second")) as line:
        await line.session.coordinator.ready()
        line.type("some words\r")
        await line.shows("#2)")
        text = line.printed
        assert re.search(rf"first:\nsome words\n{FOOT}second:\nsome words\n{FOOT}", text), text


async def test_ctrl_c_stops_the_answer_and_never_leaves(gate: Gate) -> None:
    async with sitting(models("a", gate=str(gate.path))) as line:
        line.type("one two three\r")
        gate.release(2)
        await line.streams()
        line.type("\x03")
        await line.shows("stopped")
        assert re.search(r"one\n\(1 tok.*stopped · #1\)", line.printed)
        line.type("half a line\x03\x03")  # first the line is cleared, then it says how to leave
        await line.shows("nothing runs")
        gate.release(10)
        line.type("again\r")
        await line.shows("#2)")
        assert line.session.exchanges[-1].prompt == "again"


async def test_a_beam_prints_only_what_stands() -> None:
    async with sitting(models("a")) as line:
        line.type("/set beam 2\ra b c d e f\r")
        await line.shows("#1)")
        assert "rewritten" not in line.printed
        assert "b C" not in line.printed
        assert "\na b c d e f\n" in line.printed


async def test_what_cannot_be_done_is_said_and_the_session_goes_on() -> None:
    async with sitting(models("a")) as line:
        line.type("/sett x 1\r")
        await line.shows("did you mean /set")
        line.type("@nobody hello\r")
        await line.shows("nothing is called @nobody")
        line.type("!raise 1\r")
        await line.shows("✗ a failed: asked for by the prompt")
        line.type("fine\r")
        await line.shows("fine\n(")


async def test_hostile_text_is_shown_and_not_obeyed() -> None:
    async with sitting(models("a")) as line:
        line.type("\x1b[200~\x1b]0;owned\x07 \u202eword\x1b[201~\r")
        await line.shows("#1)")
        assert "␛]0;owned␇ ⟨202E⟩word" in line.printed
        assert "\x1b" not in line.printed


async def test_a_pasted_text_stays_one_prompt() -> None:
    async with sitting(models("a")) as line:
        line.type("\x1b[200~first\nsecond\x1b[201~\r")
        await line.shows("#1)")
        assert [x.prompt for x in line.session.exchanges] == ["first\nsecond"]


async def test_lines_typed_while_a_command_runs_are_not_run_together() -> None:
    async with sitting(models("a")) as line:
        line.type(
            "/set max_new 1\r/set max_new 2\none two three\n"
        )  # Enter, as a cooked terminal passes it on
        await line.shows("#1)")
        assert [(x.prompt, x.answer.text) for x in line.session.exchanges] == [("one two three", "one two")]


async def test_tab_completes_commands_and_names() -> None:
    async with sitting(models("alpha", "beta")) as line:
        line.type("@al\t")
        await line.until(lambda: line.buffer.text == "@alpha")  # what alpha and its replica share
        line.type(" hello\r")
        await line.shows("#1)")
        assert [(x.model, x.prompt) for x in line.session.exchanges] == [("alpha", "hello")]


async def test_edit_puts_the_question_back_into_the_input() -> None:
    async with sitting(models("a")) as line:
        line.type("helo\r")
        await line.shows("#1)")
        line.type("/edit\r")
        line.type(" world\r")
        await line.shows("#2)")
        assert line.session.exchanges[-1].prompt == "helo world"


async def test_quit_leaves() -> None:
    async with sitting(models("a"), leave="/quit\r"):
        pass


async def test_history_and_answers_survive_the_sitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with sitting(models("a"), Options()) as line:
        line.type("remember this\r")
        await line.shows("#1)")
    async with sitting(models("a"), Options(resume="last")) as line:
        await line.shows("remember this\n(2 tok")
        await line.remembers()
        line.type("\x1b[A\r")  # the line before
        await line.shows("#2)")
        assert line.session.exchanges[-1].prompt == "remember this"
        line.type("\x12reme\r\r")  # and by reverse search
        await line.shows("#3)")
        assert line.session.exchanges[-1].prompt == "remember this"


async def test_a_dumb_terminal_gets_the_answer_as_it_grows(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    async with sitting(models("a", gate=str(gate.path))) as line:
        line.type("one two\r")
        gate.release(2)
        await line.shows("one")
        assert "one two" not in line.printed
        gate.release(2)
        await line.shows("#1)")
        assert line.printed.count("one") == 1
        assert "one two\n(2 tok" in line.printed
        line.type("half a line\x03\x03")
        await line.shows("nothing runs")
