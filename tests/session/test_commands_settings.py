"""Commands about parameters, the system prompt and chat templates."""

import pytest

from repl.session.frontend import Notice, Table
from tests.session.support import config


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
