from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Error, Failed, Finished, Hypothesis, Lost, Rewound, Started, Stopped
from repl.session.answer import Answer
from tests.session.support import step


@given(st.lists(st.one_of(st.text(min_size=1, max_size=4), st.integers(0, 6))))
def test_text_is_that_of_the_steps_that_stand(moves):
    """Against a plain list: a text appends a step, a number rewinds to that many steps."""
    answer, kept = Answer(), []
    for move in moves:
        if isinstance(move, str):
            answer.feed(step(len(kept), move))
            kept.append(move)
        else:
            answer.feed(Rewound(id=1, keep=move))
            del kept[move:]
        assert answer.text == "".join(kept)
    assert [s.index for s in answer.steps] == list(range(len(kept)))


def test_final_text_counts_over_the_steps():
    answer = Answer()
    answer.feed(step(0, "one "))
    answer.feed(step(1, "END"))
    assert (answer.text, answer.state) == ("one END", "streaming")
    answer.feed(Finished(id=1, reason="stop", text="one", hypotheses=(Hypothesis(text="one", tokens=(1,)),)))
    assert (answer.text, answer.state) == ("one", "finished")
    assert [h.text for h in answer.hypotheses] == ["one"]


def test_partial_text_stands_however_it_ends():
    error = Error(kind="crashed", message="gone")
    for terminal, state in (
        (Stopped(id=1), "stopped"),
        (Failed(id=1, error=error), "failed"),
        (Lost(id=1, error=error), "lost"),
    ):
        answer = Answer()
        answer.feed(step(0, "part"))
        answer.feed(terminal)
        assert (answer.text, answer.state) == ("part", state)


def test_rewrites_count_only_what_was_withdrawn():
    answer = Answer()
    answer.feed(step(0, "a"))
    answer.feed(Rewound(id=1, keep=1))
    assert answer.rewrites == 0
    answer.feed(Rewound(id=1, keep=0))
    assert answer.rewrites == 1


def test_second_start_begins_afresh():
    answer = Answer()
    answer.feed(Started(id=1, prompt_ids=(1,), prompt_text="x", notes=("first",)))
    answer.feed(Started(id=1, prompt_ids=(1,), prompt_text="x", notes=("second",)))
    answer.feed(step(0, "a"))
    assert answer.text == "a"
    assert answer.started.notes == ("second",)
