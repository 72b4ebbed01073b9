"""The head and the foot of an answer in a pane."""

from repl.session.exchange import Origin
from repl.tui.views.answers import AnswerBlock, figures
from tests.session.recording import exchange


def test_what_an_answer_was_made_of_stands_above_it_and_not_below() -> None:
    for origin, words in (
        (Origin(None, how="ensemble mean"), "ensemble mean"),
        (Origin(3, 5, "branch"), "branch of #3 @5"),
    ):
        made = exchange(7, origin=origin)
        assert [line.text for line in AnswerBlock(made).head] == ["ask", words]
        assert "of #" not in figures(made) and figures(made).endswith("#7")
