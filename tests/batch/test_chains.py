"""Runs in which one model reads what another wrote."""

import pytest

from tests.batch.conftest import Place


def test_a_chain_gives_each_line_from_model_to_model(place: Place) -> None:
    place.input.write_text("one two\n!nan\nthree\n")
    done = place.run("--chain", 'b>"{} of {prompt}">a')
    assert done.returncode == 1
    first, second, third = place.records()
    assert (first["model"], first["prompt"], first["text"]) == ("a", "one two", "one two of one two")
    assert first["hops"] == [{"model": "b", "prompt": "one two", "text": "one two"}]
    assert second["error"]["message"].startswith("hop 2, the last: ")
    assert third["text"] == "three of three"


def test_independent_models_go_on_together_in_a_run(place: Place) -> None:
    place.input.write_text("x\n")
    assert place.run("--chain", '(a,b)>"{b} then {a}">a', "--format", "text").returncode == 0
    assert place.output.read_text() == "x then x\n"


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ("a>c", "there is no model 'c', there are a, b"),
        ("a>b more", "'more' is no part of a chain"),
        ("a>(a,b)", "a and b cannot both write the line's answer"),
        ("a>", "a model's name is missing"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(place: Place, chain: str, said: str) -> None:
    place.input.write_text("x\n")
    done = place.run("--chain", chain)
    assert done.returncode == 2 and said in done.stderr.decode()
    assert not place.output.exists()
