import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from repl.safe import visible, visible_line

DANGEROUS = st.sampled_from(
    "\x00\x07\x08\x0b\x0c\r\x1b\x7f\x85\x90\x9b\x9c\x9d\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"
    "\ufeff\u00ad\ufff9\U000e0041\ud800\udcff\n\t"
)
TEXTS = st.text(st.one_of(DANGEROUS, st.characters()))


@given(TEXTS)
def test_no_control_passes(text):
    for char in visible(text):
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
        assert char not in "\u200e\u200f\u061c\u200b\ufeff"


@given(TEXTS)
def test_line_has_no_line_breaks_or_tabs(text):
    assert not set(visible_line(text)) & set("\n\t\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    assert len(visible_line(text).splitlines()) <= 1


@given(TEXTS)
def test_what_was_made_visible_stays_as_it_is(text):
    once = visible(text)
    assert visible(once) is once
    assert visible_line(visible_line(text)) == visible_line(text)


@given(TEXTS)
def test_result_can_be_written_as_utf8(text):
    visible(text).encode()


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_clean_text_is_returned_itself(text):
    assert visible(text) is text


def test_glyphs():
    assert visible("\x1b[2J\x00\r\n\x7f") == "␛[2J␀␍\n␡"
    assert visible("a\u202eb\x9b31m\udcff") == "a⟨202E⟩b⟨9B⟩31m�"
    assert visible_line("a\tb\nc") == "a␉b␊c"


def test_joiners_of_emoji_and_scripts_stay():
    assert visible("👩\u200d💻 می\u200cخواهم") == "👩\u200d💻 می\u200cخواهم"
