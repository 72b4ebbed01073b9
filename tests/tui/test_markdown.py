"""Markdown as lines: what is a mark goes, what is text stays."""

from repl.session.frontend import Text
from repl.tui.views.lines import Line
from repl.tui.views.markdown import lines
from tests.tui.support import Desk


def drawn(made: list[Line]) -> list[str]:
    return [line.lead + line.text for line in made]


def test_headings_lists_quotations_and_rules() -> None:
    text = "# Title #\n\n- one\n  * two\n3. three\n> said\n---\nplain - text # with * marks\n"
    made = lines(text)
    assert drawn(made) == [
        *("Title", "", "• one", "  • two", "3. three", "│ said", "─" * 12),
        "plain - text # with * marks",
    ]
    assert [line.style for line in made[:2]] == ["title", ""]


def test_code_is_kept_as_it_is() -> None:
    made = lines("```python\n# no *heading*\n    - x\n```\nafter\n~~~\n```\n~~~")
    assert drawn(made) == ["│ # no *heading*", "│     - x", "after", "│ ```"]
    assert not made[0].spans


def test_code_and_bold_within_a_line() -> None:
    (line,) = lines("use `a*b` and **two words**, not 2 ** 3 ** 4")
    assert line.text == "use a*b and two words, not 2 ** 3 ** 4"
    assert [(line.text[a:b], style) for a, b, style in line.spans] == [
        ("a*b", "strong"),
        ("two words", "name"),
    ]


def test_nothing_in_it_reaches_the_terminal() -> None:
    assert drawn(lines("# \x1b[31m\n- \x9b\n`\x07`")) == ["␛[31m", "• ⟨9B⟩", "␇"]


async def test_a_text_in_markdown_is_drawn_so_in_the_drawer() -> None:
    async with Desk("early").running() as desk:
        desk.app.front_end.show(Text("about", "## Why\n- because", "markdown"))
        await desk.until(lambda: any(row.startswith(" • because") for row in desk.drawn()))
        assert any(row.strip() == "Why" for row in desk.drawn())
