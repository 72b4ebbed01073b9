"""The task ``tokenize``, and what a model says it can do."""

from tests.backends.fairseq.support import (
    events,
    request,
)

# isort: split
from typing import Any

import msgspec

from backends.fairseq.engine import FairseqEngine
from repl.messages import Finished, Request, Started
from repl.readings import Tokenized


def tokenized(engine: FairseqEngine, **more: Any) -> Tokenized:
    plain = Request(id=1, model="tiny", prompt=more.pop("prompt", ""), params=request("").params)
    heard = list(events(engine, msgspec.structs.replace(plain, task="tokenize", **more)))
    assert [type(event) for event in heard] == [Started, Finished]
    last = heard[-1]
    assert isinstance(last, Finished) and last.reason == "done"
    assert isinstance(last.reading, Tokenized)
    return last.reading


def test_text_as_tokens(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for model in (engine, causal):
        for side in ("prompt", "target"):
            read = tokenized(model, **{side: "w1  Paris w3"})
            assert read.ids == (5, 3, 7)
            assert read.unknown == (False, True, False)
            assert read.decoded == "w1 <unk> w3"
            assert read.pieces == (b"w1", b" <unk>", b" w3")
    assert tokenized(engine, prompt=" ".join(["w1"] * 100)).ids == (5,) * 100
    assert tokenized(engine, prompt="").ids == ()


def test_what_it_can_do_is_told(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for model in (engine, causal):
        assert model.capabilities.tasks == ("generate", "score", "tokenize")
        assert model.capabilities.distributions
    assert engine.capabilities.attention and not causal.capabilities.attention
