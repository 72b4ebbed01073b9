"""What an answer attends to, against fairseq's generator with ``--print-alignment``."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    Library,
    Told,
    load,
    request,
    together,
    write_model,
)

# isort: split
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from fairseq.sequence_scorer import SequenceScorer

from backends.fairseq.engine import FairseqEngine
from repl.messages import Hypothesis, Request

ATTENDING = {
    "transformer": "",
    "transformer_align": "--alignment-layer 0 --alignment-heads 1",
    "transformer_align with the whole answer": "--alignment-layer 0 --full-context-alignment",
    "fconv": "",
    "lstm": "",
    "lightconv": "",
}


def attentive(asked: Request) -> Request:
    return msgspec.structs.replace(asked, attention=True)


def weights(hypothesis: Hypothesis) -> torch.Tensor:
    return torch.tensor(hypothesis.attention)


@pytest.mark.filterwarnings("ignore:Support for mismatched")  # in fairseq, where hypotheses are padded
@pytest.mark.parametrize("family", ATTENDING)
@pytest.mark.parametrize("beam", [1, 3])
def test_soft_and_hard_alignments_are_fairseqs(family: str, beam: int, tmp_path: Path) -> None:
    path = write_model(tmp_path, family.split()[0], more=ATTENDING[family], scale=1.5)
    engine, library = load(path), Library(path)
    requests = [
        attentive(request(prompt, number=place, beam=beam, n=beam)) for place, prompt in enumerate(PROMPTS)
    ]
    alone = [Told(engine, asked).finished.hypotheses for asked in requests]
    batched = [Told.of(heard).finished.hypotheses for heard in together(engine, requests)]
    for prompt, ours, among in zip(PROMPTS, alone, batched, strict=True):
        settings: dict[str, Any] = {"beam": beam, "max_len_b": 12}
        soft = library.generate(prompt, print_alignment="soft", **settings)[0]
        hard = library.generate(prompt, print_alignment="hard", **settings)[0]
        for mine, its, gentle, firm in zip(ours, among, soft, hard, strict=True):
            assert mine.alignment == tuple(map(tuple, firm["alignment"]))
            printed = torch.tensor([[float(p) for p in row] for row in gentle["alignment"]])
            assert weights(mine)[:1] == pytest.approx(printed[:1], abs=2e-6)  # fairseq prints one row of it
            assert weights(mine).shape == (len(mine.tokens), len(prompt.split()) + 1)
            assert weights(mine).sum(1) == pytest.approx(torch.ones(len(mine.tokens)), abs=1e-5)
            assert weights(its) == pytest.approx(weights(mine), abs=1e-4)


def test_only_who_asks_is_told(engine: FairseqEngine, causal: FairseqEngine) -> None:
    assert Told(engine, request(FIRST)).finished.hypotheses[0].attention == ()
    assert Told(causal, attentive(request(FIRST))).finished.hypotheses[0].attention == ()


@pytest.mark.parametrize("family", ATTENDING)
def test_a_scored_text_attends_as_fairseqs_scorer_says(family: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, family.split()[0], more=ATTENDING[family], scale=1.5)
    engine, library = load(path), Library(path)
    target = [7, 13, 7, 4, 2]
    asked = msgspec.structs.replace(
        attentive(request(FIRST)), task="score", target="w3 w9 w3 w0", closing=True
    )
    (told,) = Told(engine, asked).finished.hypotheses
    sample = {
        "net_input": {
            "src_tokens": torch.tensor([[5, 6, 7, 2]]),
            "src_lengths": torch.tensor([4]),
            "prev_output_tokens": torch.tensor([[2, *target[:-1]]]),
        },
        "target": torch.tensor([target]),
    }
    scorer = SequenceScorer(library.task.target_dictionary, compute_alignment=True)
    ((found,),) = scorer.generate(library.networks, sample)
    assert told.alignment == tuple(map(tuple, found["alignment"]))
    assert told.score == pytest.approx(float(found["score"]), abs=1e-5)
    assert told.token_scores == pytest.approx(found["positional_scores"].tolist(), abs=1e-5)
    assert weights(told).shape == (5, 4)
    assert weights(told).sum(1) == pytest.approx(torch.ones(5), abs=1e-5)


def test_an_ensembles_attention_is_the_mean(translation: Path) -> None:
    other = translation.with_name("other.pt")
    asked = msgspec.structs.replace(attentive(request(FIRST)), task="score", target="w3 w9")
    both, first, second = (
        weights(Told(load(path), asked).finished.hypotheses[0])
        for path in (f"{translation}:{other}", translation, other)
    )
    assert both == pytest.approx((first + second) / 2, abs=1e-6)
    generated = Told(load(f"{translation}:{other}"), attentive(request(FIRST, beam=2)))
    wanted = Library(translation, other).generate(FIRST, beam=2, max_len_b=12)[0][0]["attention"].T
    assert weights(generated.finished.hypotheses[0]) == pytest.approx(wanted, abs=1e-5)
