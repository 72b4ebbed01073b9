"""Where stop strings cut a text, and what of its end may be part of one."""

from backends.stops import cut, without_partial_stop


def test_the_one_that_is_complete_first_cuts() -> None:
    assert cut("one two three", ("three", "two")) == ("one ", True)
    assert cut("abcd", ("abcd", "bc")) == ("a", True)
    assert cut("abc", ("x",)) == ("abc", False)
    assert cut("abc", ()) == ("abc", False)


def test_an_end_that_may_become_one_is_left_out() -> None:
    assert without_partial_stop("ab\n", ("\n\n", "x")) == "ab"
    assert without_partial_stop("ab</", ("</s>",)) == "ab"
    assert without_partial_stop("abab", ("bac", "abc")) == "ab"
    assert without_partial_stop("ab", ()) == "ab"
