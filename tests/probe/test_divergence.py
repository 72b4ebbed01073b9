"""Distances of distributions: by hand, and what must hold for all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.probe.divergence import apart, at_least, best, distribution, normalised, unpacked

LN2 = math.log(2)


def logs(*weights: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(weights, dtype=np.float64) / sum(weights))


rows = st.lists(st.floats(-30, 5), min_size=6, max_size=6).map(lambda x: normalised(np.array(x)))


def test_three_tokens_by_hand():
    found = apart(logs(0.5, 0.25, 0.25), logs(0.25, 0.5, 0.25))
    # KL = 0.5 ln 2 - 0.25 ln 2; the mean is (3/8, 3/8, 1/4)
    assert found.kl == pytest.approx(0.25 * LN2)
    assert found.js == pytest.approx(0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3))
    assert found.tv == pytest.approx(0.25)
    assert not found.same_argmax
    assert found.kind == "full"


def test_what_the_other_rules_out_is_infinitely_far():
    found = apart(logs(0.5, 0.5, 0), logs(0, 0.5, 0.5))
    assert found.kl == math.inf
    assert found.js == pytest.approx(0.5 * LN2)
    assert found.tv == pytest.approx(0.5)
    apart_wholly = apart(logs(1, 0), logs(0, 1))
    assert (apart_wholly.kl, apart_wholly.tv) == (math.inf, 1.0)
    assert apart_wholly.js == pytest.approx(LN2)


@given(rows)
def test_a_against_itself_is_exactly_nothing(row):
    found = apart(row, row.copy())
    assert (found.kl, found.js, found.tv, found.same_argmax) == (0.0, 0.0, 0.0, True)


@given(rows, rows)
def test_bounds_and_symmetry(a, b):
    found, back = apart(a, b), apart(b, a)
    assert 0 <= found.js <= LN2
    assert 0 <= found.tv <= 1
    assert found.kl >= 0
    assert found.js == pytest.approx(back.js, abs=1e-12)
    assert found.tv == pytest.approx(back.tv, abs=1e-12)
    assert found.kl >= 2 * found.tv**2 - 1e-9  # Pinsker


@given(rows, rows, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_a_part_of_the_tokens_gives_a_lower_bound(a, b, known_a, known_b):
    whole = apart(a, b)
    part = at_least(
        {t: float(a[t]) for t in known_a}, {t: float(b[t]) for t in known_b}, same_argmax=whole.same_argmax
    )
    assert part.kind == "lower_bound"
    assert part.kl <= whole.kl + 1e-4  # rests of less than a millionth are counted as one
    assert part.js <= whole.js + 1e-5
    assert part.tv <= whole.tv + 1e-5


def test_a_lower_bound_by_hand():
    found = at_least({0: math.log(0.5), 1: math.log(0.3)}, {0: math.log(0.25)}, same_argmax=False)
    assert found.tv == pytest.approx(0.25)
    assert found.kl == pytest.approx(0.5 * LN2 + 0.5 * math.log(0.5 / 0.75))


def test_vocabularies_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="2 and 3"):
        apart(logs(1, 1), logs(1, 1, 1))


def test_columns_beyond_the_vocabulary_are_no_tokens():
    wide, narrow = (row.astype("<f4").tobytes() for row in (logs(0.3, 0.5, 0.1, 0.1), logs(3, 5)))
    a, b = map(normalised, unpacked(wide, narrow))
    assert np.exp(a) == pytest.approx([0.375, 0.625], abs=1e-6)
    assert apart(a, b).kl == pytest.approx(0, abs=1e-6)


def test_a_packed_distribution_is_read_and_normalised():
    packed = np.array([-1.0, -2.0, -np.inf], dtype="<f4").tobytes()
    row = distribution(packed)
    assert row.dtype == np.float64
    assert np.exp(row).sum() == pytest.approx(1)
    assert row[2] == -math.inf
    assert row[0] - row[1] == pytest.approx(1)


def test_the_best_are_in_order_and_ties_by_id():
    assert [token for token, _ in best(logs(1, 3, 3, 2), 3)] == [1, 2, 3]
