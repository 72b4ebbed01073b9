"""The chunks of a stream as steps, and how the answers in it end."""

from collections.abc import Iterable, Sequence

import msgspec

from backends.server import faults
from backends.server.served import Served
from backends.server.tokens import Token, said, tokens
from backends.server.wire import Choice, Chunk
from backends.stops import cut, without_partial_stop
from repl.messages import Finished, FinishReason, Hypothesis, Request, Step

_FAULTS = {"content_filter": "ask in other words"} | dict.fromkeys(("abort", "error"), "see the server's log")
"""Ends that are no good, and what can be done about them."""


class _Line:
    """One of the answers to a request."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self.thinking = False
        self._written = ""
        self._shown = 0

    def write(self, token: Token, stops: Sequence[str], *, forced: bool) -> str:
        """What it adds to the text; a stop string is cut off here, which not every server does."""
        self.tokens.append(token.id)
        text = token.text
        if stops and not forced:
            self._written += text
            visible, found = cut(self._written, stops)
            if found:
                self.reason = "stop"
            else:
                visible = without_partial_stop(visible, stops)
            text = visible[self._shown :]
            self._shown = max(self._shown, len(visible))
        self.text.append(text)
        return text

    def end(self, reason: FinishReason) -> None:
        """No more will come: what could have been the beginning of a stop string was none."""
        if self.reason is None:
            self.reason = reason
            self.text.append(self._written[self._shown :])

    def hypothesis(self) -> Hypothesis:
        """It as one of several."""
        return Hypothesis(text="".join(self.text), tokens=tuple(self.tokens))


class Writing:
    """The answers to one request as they come; the first is shown."""

    def __init__(self, served: Served, request: Request) -> None:
        self._served, self._request = served, request
        self._lines = [_Line() for _ in range(request.params.n)]
        temperature = request.params.temperature
        self._raw = served.kind.raw or temperature in (0.0, 1.0)

    def force(self, forced: Iterable[Token]) -> list[Step]:
        """The beginning that was prescribed."""
        steps = [step for token in forced for step in self._push(0, token, forced=True)]
        for line in self._lines[1:]:
            line.text, line.tokens = list(self._lines[0].text), list(self._lines[0].tokens)
        return steps

    def take(self, chunk: Chunk) -> list[Step]:
        """The steps of a chunk; raises ``BackendError`` for one that tells of a fault."""
        speaker = self._served.client.speaker
        if chunk.error is not None:
            what = f"broke off the answer: {faults.said(chunk.error)}"
            raise speaker.fault("unreachable", what, "see the server's log; /retry asks again")
        steps = []
        for choice in chunk.choices:
            if choice.index >= len(self._lines):
                raise speaker.strange(f"sends answer {choice.index + 1} of {len(self._lines)}")
            line = self._lines[choice.index]
            for token in tokens(_with_thoughts(choice, line), self._request.params.logprobs):
                steps += self._push(choice.index, token)
            if choice.finish_reason is not None:
                line.end(self._reason(choice))
        return steps

    def finished(self) -> Finished:
        """The end; raises ``BackendError`` where the server did not say that it is one."""
        if any(line.reason is None for line in self._lines):
            raise self._served.client.speaker.broken("the stream ended without its end")
        return self._end(self._lines[0].reason or "eos")

    def cut(self) -> Finished:
        """The end where all there may be was prescribed."""
        return self._end("length")

    def _end(self, reason: FinishReason) -> Finished:
        several = tuple(line.hypothesis() for line in self._lines) if len(self._lines) > 1 else ()
        return Finished(
            id=self._request.id, reason=reason, text="".join(self._lines[0].text), hypotheses=several
        )

    def _reason(self, choice: Choice) -> FinishReason:
        """Most servers say ``stop`` for an end token and a stop string alike; vLLM and SGLang tell which."""
        told, params = choice.finish_reason or "", self._request.params
        if told in _FAULTS:
            what = f"ended the answer itself ({told})"
            raise self._served.client.speaker.fault("unsupported", what, _FAULTS[told])
        if told == "length":
            return "length"
        matched = choice.matched_stop
        if choice.stop_reason is not None or isinstance(matched, str) or f"#{matched}" in params.stop_tokens:
            return "stop"
        tells = self._served.kind.name in ("vllm", "sglang")
        return "stop" if params.stop and not tells else "eos"

    def _push(self, which: int, token: Token, *, forced: bool = False) -> list[Step]:
        line = self._lines[which]
        index = len(line.tokens)
        text = line.write(token, self._request.params.stop, forced=forced)
        self._served.vocabulary.learn([(token.id, token.piece), *((t, piece) for t, _, piece in token.top)])
        if which:
            return []
        return [
            Step(
                id=self._request.id,
                index=index,
                token=token.id,
                piece=token.piece,
                text=text,
                raw_lp=token.lp if self._raw else None,
                proc_lp=None if self._raw else token.lp,
                rank=token.rank,
                top=token.top if self._raw else (),
                forced=forced,
            )
        ]


def _with_thoughts(choice: Choice, line: _Line) -> Choice:
    """What a server tells apart as reasoning stands in the text as models write it."""
    if choice.delta is None or choice.text is not None:
        return choice
    thought = choice.delta.reasoning_content or choice.delta.reasoning or ""
    text = thought
    if thought and not line.thinking:
        line.thinking, text = True, "<think>" + thought
    content = said(choice)
    if line.thinking and (content or choice.finish_reason is not None):
        line.thinking, text = False, text + "</think>"
    return msgspec.structs.replace(choice, text=text + content) if text else choice
