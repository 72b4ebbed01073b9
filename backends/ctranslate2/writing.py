"""The answer that is shown, as steps: what each token adds to the text that can be seen."""

from collections.abc import Sequence

from backends.ctranslate2.asked import Codec
from backends.ctranslate2.tokens import Token
from backends.stops import cut, without_partial_stop
from repl.messages import Event, Request, Rewound, Step


class Writer:
    """Follows one answer. Text is held back while later tokens may change it or complete a stop string."""

    def __init__(self, request: Request, codec: Codec) -> None:
        self._request, self._codec = request, codec
        self._tokens: list[Token] = []
        self._texts: list[str] = []
        """The whole visible text after each token."""

    def push(self, token: Token) -> list[Event]:
        """A token that is not the last."""
        ids = [known.id for known in self._tokens] + [token.id]
        text, stopped = cut(self._codec.settled(ids), self._request.params.stop)
        if not stopped:
            text = without_partial_stop(text, self._request.params.stop)
        return [self._step(token, text)]

    def finish(self, tokens: Sequence[Token], text: str) -> list[Event]:
        """The rest of an answer that is complete; what was shown otherwise is shown anew."""
        shown = len(self._tokens)
        keep = shown
        while keep and not text.startswith(self._texts[keep - 1]):
            keep -= 1
        if keep == len(tokens) and keep and self._texts[keep - 1] != text:
            keep -= 1  # only a step can carry text, so the last one is sent again
        events: list[Event] = [Rewound(id=self._request.id, keep=keep)] if keep < shown else []
        del self._tokens[keep:], self._texts[keep:]
        for index in range(keep, len(tokens) - 1):
            settled = self._codec.settled([token.id for token in tokens[: index + 1]])
            part, _ = cut(settled, self._request.params.stop)
            part = without_partial_stop(part, self._request.params.stop)
            events.append(self._step(tokens[index], part if text.startswith(part) else ""))
        if keep < len(tokens):
            events.append(self._step(tokens[-1], text))
        return events

    def _step(self, token: Token, text: str) -> Step:
        """The step of ``token``, after which ``text`` is seen if that takes nothing back."""
        known = self._texts[-1] if self._texts else ""
        if not text.startswith(known):
            text = known
        self._tokens.append(token)
        self._texts.append(text)
        pieces = self._codec.pieces
        return Step(
            id=self._request.id,
            index=len(self._tokens) - 1,
            token=token.id,
            piece=piece(pieces, token.id),
            text=text[len(known) :],
            raw_lp=token.raw_lp,
            proc_lp=token.proc_lp,
            search_lp=token.search_lp,
            rank=token.rank,
            entropy=token.entropy,
            top=tuple((other, lp, piece(pieces, other)) for other, lp in token.top),
            forced=token.forced,
            distribution=token.distribution,
        )


def piece(pieces: Sequence[bytes], token: int) -> bytes:
    """What a token writes; a model may have more of them than its tokenizer."""
    return pieces[token] if token < len(pieces) else b""
