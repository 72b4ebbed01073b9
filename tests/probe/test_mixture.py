"""Mixtures by hand, what must hold of them, and the noise and the cuts against the engines' own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends import noise
from backends.cut import Cut
from repl.params import Params
from repl.probe.divergence import normalised
from repl.probe.keyed import gumbel
from repl.probe.mixture import cut, draw, mixed
from tests.probe.test_divergence import logs, rows


def test_three_tokens_by_hand():
    a, b = logs(0.5, 0.25, 0.25), logs(0.1, 0.1, 0.8)
    assert np.exp(mixed([a, b], "mean")) == pytest.approx([0.3, 0.175, 0.525])
    roots = np.sqrt([0.05, 0.025, 0.2])
    assert np.exp(mixed([a, b], "geo")) == pytest.approx(roots / roots.sum())
    ratios = np.array([5, 2.5, 0.3125])
    assert np.exp(mixed([a, b], "contrast")) == pytest.approx(ratios / ratios.sum())


def test_a_contrast_looks_only_at_what_is_plausible():
    found = np.exp(mixed([logs(0.8, 0.12, 0.07, 0.01), logs(0.8, 0.06, 0.0001, 0.1399)], "contrast"))
    assert found == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert np.exp(mixed([logs(0.5, 0.5), logs(1, 0)], "contrast")) == pytest.approx([0, 1])


@given(rows, st.integers(1, 4))
def test_a_with_itself_is_a(row, count):
    assert mixed([row] * count, "mean") == pytest.approx(row, abs=1e-12)
    assert mixed([row] * count, "geo") == pytest.approx(row, abs=1e-12)


@given(st.lists(rows, min_size=1, max_size=4), st.sampled_from(["mean", "geo"]))
def test_a_mixture_is_a_distribution_whatever_the_order(found, mode):
    mixture = mixed(found, mode)
    assert np.exp(mixture).sum() == pytest.approx(1)
    assert mixture == pytest.approx(mixed(found[::-1], mode), abs=1e-9)


def test_mixtures_that_cannot_be():
    with pytest.raises(ValueError, match="different sizes"):
        mixed([logs(1, 1), logs(1, 1, 1)], "mean")
    with pytest.raises(ValueError, match="two models"):
        mixed([logs(1, 1)], "contrast")
    with pytest.raises(ValueError, match="no token"):
        mixed([logs(1, 0), logs(0, 1)], "geo")


@pytest.mark.parametrize("key", [(0, 0, 0), (1, 2, 3), (2**31 - 1, 0, 77), (2**63 - 1, 200, 5)])
def test_the_noise_is_that_of_the_engines(key):
    assert gumbel(*key, 1000) == pytest.approx(noise.gumbel(*key, 1000).numpy(), rel=1e-14, abs=1e-14)


@given(rows, st.integers(0, 7), st.sampled_from([1.0, 0.9, 0.5, 0.1]), st.sampled_from([0.0, 0.05, 0.5]))
def test_the_cuts_are_those_of_the_engines(row, top_k, top_p, min_p):
    ours = cut(row, top_k=top_k, top_p=top_p, min_p=min_p)
    theirs = Cut(top_k, top_p, min_p)(torch.from_numpy(row)[None])[0].numpy()
    assert (ours == -np.inf).tolist() == (theirs == -np.inf).tolist()


@pytest.mark.parametrize("position", range(20))
def test_a_draw_is_the_engines_draw(position):
    row = normalised(np.random.default_rng(position).normal(size=50))
    params = Params(temperature=0.8, seed=9)
    theirs = noise.draw(torch.from_numpy(row / 0.8), 9, 4, position)
    found = draw(row, params, 4, position)
    assert found.token == theirs
    assert found.raw_lp == row[theirs]
    assert found.proc_lp == pytest.approx(normalised(row / 0.8)[theirs])


def test_greedy_takes_the_likeliest_and_tells_what_it_was():
    found = draw(logs(0.25, 0.5, 0.25), Params(), 0, 0)
    assert (found.token, found.rank, found.proc_lp) == (1, 0, 0.0)
    assert found.raw_lp == pytest.approx(math.log(0.5))
    assert found.entropy == pytest.approx(1.5 * math.log(2))


def test_draws_follow_the_distribution():
    row, counts = logs(0.5, 0.3, 0.2), np.zeros(3)
    for position in range(3000):
        counts[draw(row, Params(temperature=1.0, seed=5), 0, position).token] += 1
    expected = 3000 * np.exp(row)
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.1 %
