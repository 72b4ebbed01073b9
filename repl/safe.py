"""Makes untrusted text fit for a terminal.

Model output, file names, checkpoints' settings and error texts may hold escape sequences and characters
that reorder or hide what stands beside them. A front end passes every such text through here once, where it
enters; the record keeps the text as it was.
"""

import re

_CONTROL_PICTURES = 0x2400
_HIDDEN = (
    "\u00ad"  # soft hyphen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff"  # zero-width, invisible operators, deprecated formats
    "\u2028\u2029"  # line and paragraph separator
    "\ufff9-\ufffb"  # interlinear annotation
    "\U000e0000-\U000e007f"  # tags: a whole invisible alphabet
)
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_HIDDEN}]")
_UNSAFE_IN_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_HIDDEN}]")


def visible(text: str) -> str:
    """``text`` with every control but newline and tab as a glyph, such as ``␛`` or ``⟨202E⟩``.

    Clean text comes back as the same object, and so does the result of an earlier call. The joiners U+200C
    and U+200D stay, since scripts and emoji are spelled with them.
    """
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(_glyph, text)


def visible_line(text: str) -> str:
    """As ``visible``, with newline and tab as glyphs too: for titles, names and table cells."""
    if _UNSAFE_IN_LINE.search(text) is None:
        return text
    return _UNSAFE_IN_LINE.sub(_glyph, text)


def _glyph(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "�"
    return f"⟨{code:02X}⟩"
