"""Values as they are typed, and as YAML and callers hold them."""

import pytest

from repl.params import ParamError, check, parameter, parse


def test_a_switch_may_be_what_yaml_reads_out_of_it() -> None:
    assert [check("match_source_len", value) for value in ("on", "off", True, False)] == ["on", "off"] * 2
    assert check("truncate", False) == "off"
    with pytest.raises(ParamError, match="one of off, left, right"):
        check("truncate", True)


def test_a_language_is_a_text() -> None:
    assert parse("source_lang", " no ") == "no"
    assert parse("source_lang", "none") is check("source_lang", None) is None
    assert parameter("source_lang").allowed() == "text or 'none'"
    for wrong in (False, 3, ""):
        with pytest.raises(ParamError, match="it must be text"):
            check("source_lang", wrong)


def test_phrases_are_separated_by_commas() -> None:
    assert parse("constraints", "red house,blue\\tcar") == ("red house", "blue\tcar")
    assert parse("constraints", "none") == ()
