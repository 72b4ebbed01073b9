from tests.backends.fairseq.support import Library

# isort: split
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import noise
from backends.cut import Cut
from backends.fairseq.sampling import Draws, KeyedSampling

transformers = pytest.importorskip("transformers")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    top_k=st.sampled_from([0, 1, 3, 50]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.1, 1.0]),
    typical_p=st.sampled_from([0.01, 0.3, 0.9, 1.0]),
)
def test_the_cut_keeps_what_transformers_keeps(
    seed: int, top_k: int, top_p: float, min_p: float, typical_p: float
) -> None:
    lprobs = torch.randn(3, 30, generator=torch.Generator().manual_seed(seed)).mul(3).log_softmax(-1)
    lprobs[:, 1] = -torch.inf
    expected = lprobs
    if top_k:
        expected = transformers.TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = transformers.TopPLogitsWarper(top_p)(None, expected)
    if min_p:
        expected = transformers.MinPLogitsWarper(min_p)(None, expected)
    if typical_p < 1:
        expected = transformers.TypicalLogitsWarper(typical_p)(None, expected)
    assert torch.equal(Cut(top_k, top_p, min_p, typical_p)(lprobs), expected)


def test_a_draw_is_the_keyed_one_and_scores_accumulate(translation: Path) -> None:
    dictionary = Library(translation).task.target_dictionary
    search = KeyedSampling(dictionary, [Draws(7, 10 + i, 2) for i in range(6)], Cut(top_k=4))
    lprobs = torch.randn(3, 1, 24).log_softmax(-1)
    before = lprobs.clone()
    scores = torch.tensor([[[-1.0, -2.0, -3.0]], [[-1.0, -1.5, -2.5]], [[0.0, -1.0, -4.0]]])
    search.prune_sentences(torch.tensor([0, 2, 5]))
    drawn, tokens, beams = search.step(3, lprobs, scores)
    assert torch.equal(lprobs, before)
    assert not beams.any()
    for row, sample in enumerate((10, 12, 15)):
        left = Cut(top_k=4)(lprobs[row])[0]
        token = noise.draw(left, 7, sample, 1)
        assert tokens[row].item() == token
        assert drawn[row].item() == pytest.approx(float(lprobs[row, 0, token] + scores[row, 0, 2]))
        assert search.proc_lp is not None
        assert search.proc_lp[row].item() == pytest.approx(float(left[token] - left.logsumexp(0)), abs=1e-6)


def test_draws_follow_the_distribution(translation: Path) -> None:
    """Pearson's chi-squared over 4 tokens; 16.27 is the 0.1 % point of 3 degrees of freedom."""
    dictionary = Library(translation).task.target_dictionary
    wanted = torch.tensor([0.5, 0.25, 0.15, 0.1])
    rows: Any = torch.full((4000, 1, 24), -torch.inf)
    rows[:, 0, 4:8] = wanted.log()
    search = KeyedSampling(dictionary, [Draws(3, i, 0) for i in range(4000)], Cut())
    _, tokens, _ = search.step(0, rows, torch.empty(4000, 1, 0))
    counts = torch.bincount(tokens.flatten(), minlength=24)[4:8]
    expected = wanted * 4000
    assert float(((counts - expected) ** 2 / expected).sum()) < 16.27
