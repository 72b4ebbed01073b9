"""Tables in the width there is."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.probe.figure import Span, as_text
from repl.probe.table import table, wrapped

HEADING = ("", "nats", "tokens", "opening")
BODY = [("lm-late", "-3.95", "2", "the context"), ("b", "-12.5", "10", "none")]


def drawn(width: int | None, names: int = 1) -> list[str]:
    return as_text(table(HEADING, BODY, right=(1, 2), width=width, names=names)).split("\n")


def test_what_fits_stands_side_by_side():
    assert drawn(None) == [
        "          nats  tokens  opening",
        "lm-late  -3.95       2  the context",
        "b        -12.5      10  none",
    ]
    assert drawn(35) == drawn(None)


def test_what_does_not_fit_goes_below_and_says_again_what_it_is_about():
    assert drawn(34) == [
        "          nats  tokens",
        "lm-late  -3.95       2",
        "b        -12.5      10",
        "",
        "         opening",
        "lm-late  the context",
        "b        none",
    ]
    assert drawn(34, names=2)[-3:] == [
        "          nats  opening",
        "lm-late  -3.95  the context",
        "b        -12.5  none",
    ]


@given(
    st.lists(st.lists(st.text("ab早 ", max_size=6), min_size=4, max_size=4), min_size=1, max_size=4),
    st.integers(1, 60),
)
def test_every_cell_is_there_and_rows_are_as_narrow_as_their_cells_allow(cells, width):
    heading = [f"h{at}" for at in range(4)]
    body = [[Span(f"{at}{row}{text}") for at, text in enumerate(line)] for row, line in enumerate(cells)]
    rows = table(heading, body, width=width)
    spans = [span for row in rows for span in row]
    assert all(spans.count(cell) >= 1 for line in body for cell in line)
    columns = [max(cell_len(line[at].text) for line in body) for at in range(4)]
    pair = max(2, columns[0]) + 2 + max(2, *columns[1:])
    assert all(sum(cell_len(span.text) for span in row) <= max(width, pair) for row in rows)


def test_a_sentence_is_broken_between_words_and_made_safe():
    assert as_text(wrapped("one two\x1b[31m three", "muted", 10)).split("\n") == ["one", "two␛[31m", "three"]
