import math

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from repl.probe import utility as module
from repl.probe.figure import as_text
from repl.probe.grid import Sample
from repl.probe.utility import Missing, choice, expected, utility

TEXTS = ["the cat sat", "the cat sat down", "a dog ran", "the cat sat", "the cats sat"]


def samples(texts):
    return [Sample(exchange=at, text=text, tokens=3, bits=1.0) for at, text in enumerate(texts, 1)]


def test_exact_is_the_share_of_equal_others():
    assert expected(["a", "b", "a", "a"], utility("exact")) == pytest.approx([200 / 3, 0, 200 / 3, 200 / 3])
    assert all(map(math.isnan, expected(["a"], utility("exact"))))


@pytest.mark.parametrize(
    ("name", "metric"), [("chrf", sacrebleu.CHRF()), ("bleu", sacrebleu.BLEU(effective_order=True))]
)
def test_means_are_those_of_every_pair(name, metric):
    def mean(at):
        rest = [text for other, text in enumerate(TEXTS) if other != at]
        return sum(metric.sentence_score(TEXTS[at], [text]).score for text in rest) / len(rest)

    brute = [mean(at) for at in range(len(TEXTS))]
    assert expected(TEXTS, utility(name)) == pytest.approx(brute)
    best = TEXTS[brute.index(max(brute))]
    assert choice("m", "p", name, samples(TEXTS)).candidates[0].text == best


@given(st.lists(st.sampled_from(["", "a", "b", "ab"]), min_size=2, max_size=12))
def test_the_most_frequent_text_wins_where_only_equality_counts(texts):
    chosen = choice("m", "p", "exact", samples(texts))
    counts = [len(c.samples) for c in chosen.candidates]
    assert counts == sorted(counts, reverse=True) and sum(counts) == len(texts)
    first = max(dict.fromkeys(texts), key=texts.count)
    assert chosen.candidates[0].text == first


def test_without_sacrebleu_it_says_so(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="sacrebleu"):
        utility("chrf")
    assert utility("exact")("a", "a") == 100


def test_the_table_marks_the_chosen_text():
    text = as_text(choice("m", "p", "exact", samples(["b", "a\x1b[2J\nx", "a\x1b[2J\nx"])).rows(60))
    lines = text.splitlines()
    assert "\x1b" not in text
    assert lines[:2] == ["a␛[2J", "x"]
    assert lines[4].split()[:4] == ["▸", "50.00", "×2", "1.000"] and lines[4].split()[4] == "#2"
    assert lines[5].split()[:2] == ["0.00", "×1"]
    assert choice("m", "p", "exact", []).rows(60) == []
