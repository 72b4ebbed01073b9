"""What noise and acceptance look like."""

import msgspec
import numpy as np
import pytest

from repl.probe.acceptance import acceptance
from repl.probe.figure import STYLES, as_json, as_text
from repl.probe.noise import Noise, Way, against
from repl.probe.parting import part
from tests.probe.test_parting import EARLY, LATE


def moved(step, by: float):
    row = np.frombuffer(step.distribution, "<f4").copy()
    row[step.token] += np.float32(by)
    return msgspec.structs.replace(step, distribution=row.tobytes(), raw_lp=float(row[step.token]))


def test_a_second_reading_is_compared_number_by_number():
    again = against(LATE, LATE, "again", batch=1)
    assert (again.bit_equal, again.difference, again.flips, again.js) == (True, 0.0, 0, 0.0)
    other = against(LATE, [LATE[0], moved(LATE[1], 1e-3), LATE[2]], "other")
    assert not other.bit_equal
    assert other.difference == pytest.approx(1e-3, rel=1e-3)
    assert other.flips == 0 and 0 < other.js < 1e-6
    flipped = against(LATE, EARLY, "another model")
    assert flipped.flips == 1


def test_a_change_elsewhere_in_the_distribution_is_seen():
    row = np.frombuffer(LATE[1].distribution, "<f4").copy()
    row[0] = np.nextafter(row[0], np.float32(0))
    changed = msgspec.structs.replace(LATE[1], distribution=row.tobytes())
    found = against(LATE, [LATE[0], changed, LATE[2]], "other")
    assert (found.bit_equal, found.difference) == (False, 0.0)
    assert 0 < found.widest < 1e-6


def test_what_follows_another_token_is_not_compared():
    other = msgspec.structs.replace(LATE[1], token=0)
    found = against(LATE, [LATE[0], other, EARLY[2]], "written again")
    assert (found.parted, found.bit_equal, found.flips, found.difference) == (1, False, 0, 0.0)
    assert against(LATE, LATE[:2], "shorter").parted == 2
    assert against(LATE[:2], LATE, "longer").bit_equal


def test_without_distributions_only_the_tokens_are_compared():
    bare = [msgspec.structs.replace(step, distribution=b"") for step in LATE]
    found = against(LATE, bare, "as answered")
    assert (found.bit_equal, found.js) == (True, None)


def test_the_noise_is_drawn_as_a_table():
    figure = Noise(
        model="\x1blate",
        dtype="bfloat16",
        positions=3,
        along=4,
        ways=(against(LATE, EARLY, "fast lane", batch=8), Way(way="float32", why_not="not configured")),
    )
    text = as_text(figure.rows(80))
    assert "\x1b" not in text
    assert "3 tokens of #4" in text
    assert "≠ differs" in text and "not configured" in text
    assert figure.floor_js > 0
    assert msgspec.json.encode(as_json(figure))


def test_acceptance_is_drawn_with_its_worst():
    positions = part(("a", 1, LATE), ("b", 2, EARLY)).positions
    found = acceptance("early", "late", positions, along=1)
    assert found.accepted == pytest.approx((1, 0.8, 0.6), abs=1e-6)
    rows = found.rows(60)
    assert all(span.style in STYLES for row in rows for span in row)
    text = as_text(rows)
    assert "early > late: 80.0% of 3 tokens along #1" in text
    assert "      ▲▲" in text
    assert text.splitlines()[-2].split() == ["2", "·dog", "60.0%"]


def test_nothing_known_is_no_acceptance():
    with pytest.raises(ValueError, match="no position"):
        acceptance("a", "b", [])
