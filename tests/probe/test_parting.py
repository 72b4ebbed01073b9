"""Two models along one text: by hand, and how it is drawn."""

import math

import msgspec
import numpy as np
import pytest

from repl.messages import Step
from repl.probe.figure import STYLES, as_json, as_text
from repl.probe.parting import part
from repl.probe.strip import strip

A, B = ("late", 7), ("early", 8)
WORDS = [b" cat", b" dog", b" sat"]


def read(index: int, token: int, *weights: float, whole: bool = True, top: int = 0) -> Step:
    """A step of a model that gives three tokens these probabilities."""
    with np.errstate(divide="ignore"):
        row = np.log(np.array(weights, dtype="<f4") / np.float32(sum(weights)))
    order = sorted(range(3), key=lambda t: -row[t])
    return Step(
        id=0,
        index=index,
        token=token,
        piece=WORDS[token],
        text="",
        raw_lp=float(row[token]),
        rank=order.index(token),
        top=tuple((t, float(row[t]), WORDS[t]) for t in order[:top]),
        distribution=row.tobytes() if whole else b"",
    )


LATE = [read(0, 0, 0.5, 0.25, 0.25), read(1, 2, 0.1, 0.1, 0.8), read(2, 1, 0.2, 0.7, 0.1)]
EARLY = [read(0, 0, 0.5, 0.25, 0.25), read(1, 2, 0.3, 0.1, 0.6), read(2, 1, 0.6, 0.3, 0.1)]


def test_each_position_by_hand():
    found = part((*A, LATE), (*B, EARLY), along=5)
    kl = [p.apart.kl for p in found.positions]
    assert kl[0] == 0
    assert kl[1] == pytest.approx(0.1 * math.log(1 / 3) + 0.8 * math.log(0.8 / 0.6), abs=1e-6)
    assert kl[2] == pytest.approx(0.2 * math.log(1 / 3) + 0.7 * math.log(7 / 3), abs=1e-6)
    assert [p.apart.tv for p in found.positions] == pytest.approx([0, 0.2, 0.4], abs=1e-6)
    assert [p.apart.same_argmax for p in found.positions] == [True, True, False]
    assert (found.first, found.worst, found.kind) == (2, 2, "full")
    assert found.a.first_choices == 3 and found.b.first_choices == 2
    (spot,) = found.spots
    assert spot.before == b" cat sat"
    assert [o.id for o in spot.top_a] == [1, 0, 2]
    assert math.exp(spot.top_b[0].nats) == pytest.approx(0.6)


def test_a_model_against_itself_is_exactly_nowhere_apart():
    found = part((*A, LATE), (*A, LATE))
    assert {(p.apart.kl, p.apart.js, p.apart.tv) for p in found.positions} == {(0.0, 0.0, 0.0)}
    assert found.first is None and found.worst is None and found.spots == ()


def test_without_whole_distributions_the_bounds_are_lower():
    def listed(steps):
        return [msgspec.structs.replace(s, distribution=b"", top=read_top(s)) for s in steps]

    def read_top(step):
        row = np.frombuffer(step.distribution, "<f4")
        return tuple((int(t), float(row[t]), WORDS[t]) for t in np.argsort(-row)[:1])

    full = part((*A, LATE), (*B, EARLY))
    bound = part((*A, listed(LATE)), (*B, listed(EARLY)))
    assert bound.kind == "lower_bound"
    for whole, least in zip(full.positions, bound.positions, strict=True):
        assert least.apart.kl <= whole.apart.kl + 1e-5
        assert least.apart.same_argmax == whole.apart.same_argmax
    assert bound.positions[2].apart.kl > 0
    assert "KL >=" in as_text(bound.rows(80))


def test_what_is_within_the_noise_is_not_pointed_at():
    found = part((*A, LATE), (*B, EARLY), noise_js=1.0)
    assert found.first is None and found.worst is None
    text = as_text(found.rows(80))
    assert "~~" in text and "no further apart than noise" in text


def test_rounding_is_no_divergence():
    rounded = []
    for step in LATE:
        row = np.frombuffer(step.distribution, "<f4") * np.float32(1 + 1e-6)
        rounded.append(msgspec.structs.replace(step, distribution=row.astype("<f4").tobytes()))
    found = part((*A, LATE), (*B, rounded))
    assert any(p.apart.js > 0 for p in found.positions)
    assert found.worst is None and found.spots == ()
    assert "▇ = 0 bits" in as_text(found.rows(80))


def test_a_position_without_a_score_is_left_out():
    bare = msgspec.structs.replace(LATE[0], raw_lp=None, distribution=b"")
    found = part((*A, [bare, *LATE[1:]]), (*B, EARLY))
    assert found.positions[0].apart is None
    assert found.first == 2


def test_readings_of_other_tokens_are_refused():
    with pytest.raises(ValueError, match="same tokens"):
        part((*A, LATE), (*B, EARLY[:2]))


def test_the_drawing_says_it_without_colour():
    found = part((*A, LATE), (*B, EARLY), along=5, notes=["\x1b[2J"])
    rows = found.rows(60)
    assert all(span.style in STYLES for row in rows for span in row)
    text = as_text(rows)
    assert "\x1b" not in text
    assert "along #5" in text
    assert "other first choice at 1 of 3" in text
    lines = text.splitlines()
    curve = next(at for at, line in enumerate(lines) if line.startswith("   0 "))
    assert lines[curve : curve + 2] == ["   0  ▂▇", "       ▲"]
    assert "·cat·sat▏·dog" in text
    assert "●·dog  0.700" in text
    assert msgspec.json.encode(as_json(found))


def test_a_long_strip_goes_on_in_the_next_row():
    rows = strip([0.0, 1.0, None], 7, marks=[" ", "≠", "x"], muted=[False] * 3, full=1.0)
    assert as_text(rows).splitlines() == ["   0  ▇", "      ≠", "   2", "     x"]
    assert as_text(strip([0.0, 0.0], 9, marks="  ", muted=[False] * 2, full=0.0)) == "   0"
