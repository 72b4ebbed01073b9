"""A Hugging Face tokenizer as a writer of answers."""

from collections.abc import Sequence

from backends.hf.text import Codec


class Answers:
    """Writes the answer to one prompt, ``context``, as backend ``hf`` does. Mostly it grows by a token."""

    def __init__(self, codec: Codec, context: Sequence[int]) -> None:
        self.pieces: Sequence[bytes] = codec.pieces
        self._codec, self._context = codec, context
        self._restart()

    def text(self, tokens: Sequence[int]) -> str:
        """See ``asked.Codec``."""
        return self.settled(tokens) + self._stream.fork().flush()

    def settled(self, tokens: Sequence[int]) -> str:
        """See ``asked.Codec``."""
        if list(tokens[: len(self._known)]) != self._known:
            self._restart()
        for token in tokens[len(self._known) :]:
            self._settled += self._stream.push(token)
            self._known.append(token)
        return self._settled

    def raw(self, tokens: Sequence[int]) -> str:
        """Nothing else than its text."""
        return self.text(tokens)

    def _restart(self) -> None:
        self._stream = self._codec.stream(self._context)
        self._known: list[int] = []
        self._settled = ""
