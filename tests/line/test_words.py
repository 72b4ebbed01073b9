"""Tables, wrapping, figures and states as text."""

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from repl.line.words import Style, cut, plain, replicas, settings, wrap
from repl.messages import Error
from repl.params import Params
from repl.pool import ReplicaStatus
from repl.session.frontend import Notice, Table, Text

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)


def test_a_table_is_aligned_by_columns_of_the_terminal() -> None:
    table = Table("t", ("name", "size"), (("漢字", "1"), ("e\u0301te", "22")), ("a note",))
    assert plain(table) == (
        "name  size\n"
        "────  ────\n"
        "漢字  1\n"
        "e\u0301te   22\n"
        "a note"
    )  # fmt: skip


def test_a_wide_table_wraps_its_widest_column() -> None:
    table = Table("t", ("key", "meaning"), (("a", "some words that do not fit"), ("b", "fits")))
    assert plain(table, 20) == (
        "key  meaning\n"
        "───  ───────────────\n"
        "a    some words that\n"
        "     do not fit\n"
        "b    fits"
    )  # fmt: skip


def test_what_commands_show_cannot_reach_the_terminal() -> None:
    hostile = "\x1b[2J\u202e"
    shown = [
        plain(Notice("error", hostile, hostile)),
        plain(Text(hostile, hostile)),
        plain(Table(hostile, (hostile,), ((f"a\nb{hostile}",),), (hostile,))),
    ]
    assert not any("\x1b" in text or "\u202e" in text for text in shown)
    assert "a␊b␛[2J" in shown[2]


@given(TEXTS, st.integers(2, 20))
def test_wrapping_keeps_every_character_and_the_width(text: str, columns: int) -> None:
    rows = wrap(text, columns)
    assert "".join(rows) == text
    assert all(get_cwidth(row) <= columns for row in rows)


@given(TEXTS, st.integers(2, 20))
def test_wrapping_between_words_loses_only_spaces(text: str, columns: int) -> None:
    rows = wrap(text, columns, words=True)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert all(get_cwidth(row) <= columns for row in rows)


@given(TEXTS, st.integers(1, 20))
def test_cutting_says_so(text: str, columns: int) -> None:
    shown = cut(text, columns)
    assert get_cwidth(shown) <= columns
    assert shown == text or shown.endswith("…")


def status(state: str, **more: object) -> ReplicaStatus:
    return ReplicaStatus(name="lm/0", model="lm", device="cpu:0", state=state, **more)


def test_replicas_in_a_few_words() -> None:
    ready = status("ready", slots=4, running=1)
    assert replicas("lm", [ready, status("busy", slots=4, running=3)]) == "lm ● 4/8"
    assert replicas("lm", [status("loading", detail="weights", loading=0.4)]) == "lm ◐ loading weights 40 %"
    failed = status("failed", error=Error(kind="crashed", message="x"))
    assert replicas("lm", [ready, failed, failed]) == "lm ● 1/4 ✗ 2 failed"


def test_settings_leave_out_what_is_not_set() -> None:
    params = Params(temperature=0.7, stop=("\n", "x"))
    assert settings(params) == "temperature 0.7 · stop \\n,x · max_new 128"


def test_styles_wrap_each_line_and_can_be_off() -> None:
    notice = Notice("error", "a\nb")
    assert Style(colour=True).output(notice, "a\nb") == "\x1b[31ma\x1b[0m\n\x1b[31mb\x1b[0m"
    assert Style(colour=False).output(notice, "a\nb") == "a\nb"
