"""The corpus is prose in a fixed order, and what is held out of it is not in the training text."""

import pytest

from repl.demo import corpus


@pytest.fixture(scope="module")
def texts() -> corpus.Split:
    return corpus.split(corpus.documents())


def test_markup_is_removed_and_wrapped_lines_are_joined() -> None:
    raw = 'The "with" statement is used to wrap the execution of a block with\nmethods of ``it``.\n\n***\n'
    expected = "The with statement is used to wrap the execution of a block with methods of it."
    assert corpus.plain(raw, quotes=True) == expected


def test_code_and_lists_keep_their_lines() -> None:
    code = '>>> print("a")\na'
    assert corpus.plain(code, quotes=True) == code
    assert corpus.plain("- one\n- two") == "- one\n- two"


def test_grammar_is_left_out() -> None:
    assert corpus.plain('Text that stays.\n\n   pass_stmt ::= "pass"') == "Text that stays."


def test_a_known_topic_begins_with_its_first_sentence(texts: corpus.Split) -> None:
    assert any(text.startswith("The with statement is used to wrap the execution") for text in texts.train)


def test_no_held_out_paragraph_is_in_the_training_text(texts: corpus.Split) -> None:
    trained = {paragraph for text in texts.train for paragraph in text.split("\n\n")}
    assert texts.held_out
    assert not [p for text in texts.held_out for p in text.split("\n\n") if p in trained]


def test_the_corpus_is_the_same_each_time(texts: corpus.Split) -> None:
    again = corpus.split(corpus.documents())
    assert corpus.digest(again.train) == corpus.digest(texts.train)


def test_each_text_is_there_once(texts: corpus.Split) -> None:
    every = [document.text for document in corpus.documents()]
    assert len(every) == len(set(every))
    assert set(texts.train) <= set(every)
