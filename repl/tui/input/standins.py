"""Characters that a terminal must not see, in an input that is drawn on one.

The input holds a stand-in for each, one cell wide and drawn as a glyph; what is sent has the character again.
"""

from repl.safe import visible, visible_line

FIRST, LAST = 0x10F000, 0x10FFFD
"""Code points for private use, which nobody can see anyway; those that are typed have stand-ins too."""
UNKNOWN = "�"


class StandIns:
    """Gives each such character one stand-in for good."""

    def __init__(self) -> None:
        self._stand_in: dict[str, str] = {}
        self._character: dict[str, str] = {}

    def encoded(self, text: str) -> str:
        """``text`` fit for the input, a character for a character."""
        if visible(text) is text and not any(FIRST <= ord(char) <= LAST for char in text):
            return text
        return "".join(self._of(char) for char in text)

    def decoded(self, text: str) -> str:
        """The text that the input means."""
        if text.isascii():
            return text
        return "".join(self._character.get(char, char) for char in text)

    def drawn(self, text: str) -> str:
        """The input as it is drawn, a cell for each stand-in."""
        if text.isascii():
            return text
        return "".join(self._glyph(char) for char in text)

    def _of(self, char: str) -> str:
        if visible(char) == char and not FIRST <= ord(char) <= LAST:
            return char
        known = self._stand_in.get(char)
        if known is None:
            number = FIRST + len(self._stand_in)
            if number > LAST:
                return UNKNOWN  # nobody has pasted four thousand different controls
            known = self._stand_in[char] = chr(number)
            self._character[known] = char
        return known

    def _glyph(self, char: str) -> str:
        meant = self._character.get(char)
        if meant is None:
            return char
        glyph = visible_line(meant)
        return glyph if len(glyph) == 1 and glyph != meant else UNKNOWN
