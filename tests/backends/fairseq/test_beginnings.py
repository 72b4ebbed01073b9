"""Answers that begin with given tokens."""

from tests.backends.fairseq.support import (
    FIRST,
    Library,
    Told,
    by_scorer,
    events,
    request,
    together,
)

# isort: split
from typing import Any

import msgspec
import pytest

from backends.fairseq.engine import FairseqEngine
from repl.messages import Failed


@pytest.mark.parametrize(
    "params", [{}, {"temperature": 1.3, "seed": 4}, {"temperature": 1.3, "seed": 4, "top_p": 0.7}], ids=str
)
@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
def test_a_branch_on_the_token_that_was_chosen_is_its_parent(
    engine: FairseqEngine, causal: FairseqEngine, params: dict[str, Any], kind: str
) -> None:
    model = engine if kind == "seq2seq" else causal
    asked = msgspec.structs.replace(request(FIRST, **params), lane="exact")
    parent = Told(model, asked)
    for length in range(1, len(parent.steps) + 1):
        child = Told(model, msgspec.structs.replace(asked, prefix_ids=tuple(parent.tokens[:length])))
        assert child.tokens == parent.tokens
        assert [step.forced for step in child.steps] == [i < length for i in range(len(parent.steps))]
        for name in ("raw_lp", "search_lp", "text"):
            assert [getattr(s, name) for s in child.steps] == [getattr(s, name) for s in parent.steps]
        assert child.steps[0].proc_lp is None
        assert (child.finished.text, child.finished.reason) == (parent.finished.text, parent.finished.reason)


def test_a_branch_on_another_token_goes_its_own_way(engine: FairseqEngine, library: Library) -> None:
    for beam in (1, 3):
        parent = Told(engine, request(FIRST, logprobs=2, beam=beam))
        second = parent.steps[1].top[1][0]
        begun = (parent.tokens[0], second)
        child = Told(engine, msgspec.structs.replace(request(FIRST, beam=beam), prefix_ids=begun))
        words = engine._model.codec.raw(begun)
        wanted = library.generate(FIRST, prefix=words, beam=beam, max_len_b=12)[0][0]
        assert list(child.finished.hypotheses[0].tokens) == wanted["tokens"].tolist()


@pytest.mark.parametrize("beam", [1, 3])
def test_an_answer_may_be_made_to_end(engine: FairseqEngine, library: Library, beam: int) -> None:
    asked = msgspec.structs.replace(request(FIRST, beam=beam, n=beam), prefix_ids=(7, 8, 2))
    told = Told(engine, asked)
    assert (told.tokens, told.finished.reason, told.text) == ([7, 8, 2], "eos", "w3 w4")
    wanted = by_scorer(library, FIRST, [7, 8, 2])
    (only,) = told.finished.hypotheses
    assert only.token_scores == pytest.approx(wanted, abs=1e-5)
    assert only.score == pytest.approx(sum(wanted) / 3, abs=1e-5)
    beside = together(
        engine, [msgspec.structs.replace(asked, id=2), request(FIRST, number=3, beam=beam, n=beam)]
    )
    assert Told.of(beside[0]).finished.text == "w3 w4"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [((5, 2, 6), "end token and more"), ((1,), "only pads"), ((24,), "24 symbols"), ((-1,), "token -1")],
)
def test_impossible_beginnings_are_refused(engine: FairseqEngine, tokens: tuple[int, ...], said: str) -> None:
    *_, last = events(engine, msgspec.structs.replace(request(FIRST), prefix_ids=tokens))
    assert isinstance(last, Failed)
    assert last.error.kind == "bad_parameter" and said in last.error.message


def test_tokens_of_a_beginning_come_before_its_text(engine: FairseqEngine) -> None:
    told = Told(engine, msgspec.structs.replace(request(FIRST, prefix="w9"), prefix_ids=(4, 5)))
    assert told.tokens[:3] == [4, 5, 13]
