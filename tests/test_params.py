"""Values as they are typed, and as YAML and callers hold them."""

import pytest

from repl.params import (
    PARAMETERS,
    ParamError,
    Params,
    Support,
    bias,
    changed,
    check,
    parameter,
    parse,
    resolve,
    token_id,
    unsupported,
)


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


def test_a_number_is_what_its_parameter_counts_in() -> None:
    assert [repr(check("max_new", value)) for value in (5, 5.0, 1e2)] == ["5", "5", "100"]
    assert repr(check("temperature", 1)) == "1.0"
    for name, wrong in [
        ("max_new", 1.5), ("max_new", 0), ("max_new", True), ("max_new", "5"), ("top_p", 0), ("top_p", 1.01),
        ("temperature", float("nan")), ("temperature", float("inf")), ("top_k", float("inf")),
        ("seed", 2**63), ("beam", None),
    ]:  # fmt: skip
        with pytest.raises(ParamError, match=f"{name} = .* is not allowed: it must be a"):
            check(name, wrong)


def test_tokens_and_biases_are_told_by_their_look() -> None:
    assert parse("ban", "the,#50256") == ("the", "#50256")
    assert check("logit_bias", {"the": 2, "#5": -0.5}) == ("the=2", "#5=-0.5")
    assert bias("a=b=2.5") == ("a=b", 2.5)
    assert [token_id(word) for word in ("#50256", "#", "#5x", "50256", "#٣")] == [50256] + [None] * 4
    for name, wrong in [
        ("ban", "#"),
        ("ban", "#5x"),
        ("logit_bias", "the"),
        ("logit_bias", "the=nan"),
        ("ban", [""]),
    ]:
        with pytest.raises(ParamError, match=f"{name} = .* is not allowed: it must be word"):
            check(name, wrong)


def test_layers_lie_over_the_built_in_values() -> None:
    params = resolve({"beam": 4, "n": 2}, {"n": 1.0, "stop": "x"})
    assert (params.beam, params.n, params.stop, params.max_new) == (4, 1, ("x",), Params().max_new)
    assert changed(params) == {"beam": 4, "stop": ("x",)}
    table = {"beam": Support("exact"), "stop": Support("none")}
    assert unsupported(params, table) == ["stop"]
    assert unsupported(params, {}) == ["beam", "stop"]


def test_every_name_has_a_description_and_an_allowed_built_in_value() -> None:
    assert list(PARAMETERS) == list(Params.__struct_fields__)
    for name, known in PARAMETERS.items():
        assert check(name, known.default) == known.default and known.help


def test_bounds_are_written_out() -> None:
    assert parameter("seed").allowed().endswith("at most 9,223,372,036,854,775,807 or 'none'")
    assert parameter("max_new").allowed() == "a whole number of at least 1 and at most 1,000,000"
    assert parameter("top_p").allowed() == "a number above 0 and at most 1"


def test_every_whole_number_has_bounds_that_fit_on_the_wire() -> None:
    for known in PARAMETERS.values():
        if known.kind == "int":
            assert known.low is not None and known.high is not None and known.high < 1 << 63, known.name
    with pytest.raises(ParamError, match=r"top_k = 10+ is not allowed: .* at most 1,000,000"):
        parse("top_k", f"1{'0' * 30}")


def test_what_is_no_unicode_is_no_text() -> None:
    for name in ("stop", "source_lang", "ban"):
        with pytest.raises(ParamError, match=name):
            check(name, "a\udcffb")
