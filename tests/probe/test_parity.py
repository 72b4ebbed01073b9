"""The verdict on two models, by hand."""

import math

import msgspec
import numpy as np
import pytest

from repl.probe.figure import STYLES, as_json, as_text
from repl.probe.parity import compare, parity, tolerance
from tests.probe.test_noise import moved
from tests.probe.test_parting import EARLY, LATE, WORDS, read


def verdict(*texts, one_vocabulary=True, allowed=1e-3, **more):
    compared = [
        compare(at, a, b, one_vocabulary=one_vocabulary, allowed=allowed)
        for at, (a, b) in enumerate(texts, 1)
    ]
    return parity("hf", "fs", compared, one_vocabulary=one_vocabulary, allowed=allowed, **more)


def listed(steps, count=3):
    """Without distributions, with the likeliest in a list."""
    found = []
    for step in steps:
        row = np.frombuffer(step.distribution, "<f4")
        top = tuple((int(t) + 40, float(row[t]), WORDS[t]) for t in np.argsort(-row)[:count])
        found.append(msgspec.structs.replace(step, distribution=b"", token=step.token + 40, top=top))
    return found


def test_one_and_the_same_passes():
    found = verdict((LATE, LATE), (EARLY, EARLY))
    assert (found.passed, found.largest, found.mean_kl, found.failure) == (True, 0.0, 0.0, None)
    assert (found.texts, found.positions, found.first_choices, found.compared) == (2, 6, 6, 18)


def test_a_difference_within_the_tolerance_passes():
    other = [LATE[0], moved(LATE[1], 5e-4), LATE[2]]
    assert verdict((LATE, other)).passed
    found = verdict((LATE, other), allowed=1e-4)
    assert not found.passed
    assert (found.failure.text, found.failure.position, found.failure.cause) == (1, 1, "numbers")
    assert found.failure.difference == pytest.approx(5e-4, rel=1e-3)
    assert found.failure.before == b" cat"


def test_a_difference_of_a_token_that_is_not_in_the_text_is_seen():
    row = np.frombuffer(LATE[1].distribution, "<f4").copy()
    row[0] += np.float32(0.5)
    other = msgspec.structs.replace(LATE[1], distribution=row.tobytes())
    assert verdict((LATE, [LATE[0], other, LATE[2]])).largest == pytest.approx(0.5)


def test_a_permuted_vocabulary_fails():
    def permuted(step):
        row = np.roll(np.frombuffer(step.distribution, "<f4"), 1)
        return msgspec.structs.replace(step, distribution=row.tobytes(), raw_lp=float(row[step.token]))

    found = verdict((LATE, LATE), (LATE, [permuted(step) for step in LATE]))
    assert not found.passed
    assert (found.failure.text, found.failure.position) == (2, 0)
    by_bytes = verdict((listed(LATE), listed([permuted(step) for step in LATE])), one_vocabulary=False)
    assert not by_bytes.passed


def test_other_ids_of_the_same_bytes_pass_by_their_bytes():
    """As fairseq's dictionary begins with four symbols of its own."""
    mine = [msgspec.structs.replace(x, token=x.token + 7) for x in listed(LATE)]
    found = verdict((mine, listed(LATE)), one_vocabulary=False)
    assert found.passed
    assert found.matched == "bytes"
    assert found.compared == 9
    assert found.mean_kl == pytest.approx(0, abs=1e-5)


def test_the_space_may_belong_to_either_side_of_a_word():
    other = [
        msgspec.structs.replace(
            x, piece=x.piece.strip() + b" ", top=tuple((t, lp, p.strip() + b" ") for t, lp, p in x.top)
        )
        for x in listed(LATE)
    ]
    assert verdict((listed(LATE), other), one_vocabulary=False).passed


def test_another_tokenization_fails_where_it_begins():
    other = [EARLY[0], msgspec.structs.replace(EARLY[1], piece=b" sa"), EARLY[2]]
    found = verdict((EARLY, other))
    assert (found.failure.cause, found.failure.position) == ("tokens", 1)
    shorter = verdict((LATE, LATE[:2]))
    assert (shorter.failure.cause, shorter.failure.position, shorter.failure.piece_b) == ("tokens", 2, b"")


def test_what_only_one_rules_out_fails():
    found = verdict(([read(0, 0, 0.5, 0.5, 0.0)], [read(0, 0, 0.5, 0.4, 0.1)]))
    assert found.largest == math.inf and not found.passed


def test_what_is_no_number_fails():
    broken = msgspec.structs.replace(
        LATE[0], distribution=np.full(3, np.nan, "<f4").tobytes(), raw_lp=math.nan
    )
    found = verdict((LATE, [broken, *LATE[1:]]))
    assert not found.passed
    assert math.isnan(found.largest)


def test_nothing_compared_is_no_pass():
    found = verdict(([], []))
    assert not found.passed
    assert "no number could be compared" in as_text(found.rows(80))


def test_the_coarser_dtype_sets_the_tolerance():
    assert tolerance("float32", "float32") == 1e-3
    assert tolerance("float32", "bfloat16") == 0.2
    assert tolerance("float32", "int8") == 0.5


@pytest.mark.parametrize("other", [LATE, EARLY])
def test_the_drawing_says_the_verdict_in_words(other):
    found = verdict((LATE, other), notes=["\x1bnote"])
    rows = found.rows(80)
    assert all(span.style in STYLES for row in rows for span in row)
    text = as_text(rows)
    assert "\x1b" not in text
    assert text.startswith("✓ pass" if other is LATE else "✗ fail")
    assert ("first at token 1 of text 1: the numbers differ" in text) == (other is EARLY)
    assert msgspec.json.encode(as_json(found))
