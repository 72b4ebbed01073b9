"""The answer that is shown: follows the leading hypothesis and tells what changed as events."""

from backends.fairseq.nodes import Node
from backends.fairseq.prompt import Prompt
from backends.fairseq.text import Codec
from backends.stops import cut, without_partial_stop
from repl.messages import Event, Request, Rewound, Step


class Answer:
    """The steps a request has been sent so far, and what to send next."""

    def __init__(self, request: Request, codec: Codec, prompt: Prompt) -> None:
        self._request, self._prompt = request, prompt
        self._codec = codec
        self._shown: list[Node] = []
        self._texts: list[str] = []
        """The whole visible text after each step that is shown."""

    def follow(self, leads: Node) -> list[Event]:
        """The events that lead from what is shown to the partial answer that ends in ``leads``."""
        path = leads.path()
        return self._lay(path, self._partial(path))

    def finish(self, path: list[Node], text: str) -> list[Event]:
        """The events that lead to the final answer."""
        return self._lay(path, text)

    def _lay(self, path: list[Node], text: str) -> list[Event]:
        events: list[Event] = []
        keep = self._common(path, text)
        if keep < len(self._shown):
            events.append(Rewound(id=self._request.id, keep=keep))
            del self._shown[keep:], self._texts[keep:]
        for index in range(keep, len(path)):
            visible = text if index == len(path) - 1 else self._partial(path[: index + 1])
            known = self._texts[-1] if self._texts else ""
            if not (text.startswith(visible) and visible.startswith(known)):
                visible = known
            self._shown.append(path[index])
            self._texts.append(visible)
            events.append(step(self._request, self._codec, index, path[index], visible[len(known) :]))
        return events

    def _common(self, path: list[Node], text: str) -> int:
        """How many steps may stay: the same tokens, and no text that the new one takes back."""
        keep = 0
        for shown, node in zip(self._shown, path, strict=False):
            if shown is not node:
                break
            keep += 1
        while keep and not text.startswith(self._texts[keep - 1]):
            keep -= 1
        if keep == len(path) and keep and self._texts[keep - 1] != text:
            keep -= 1  # only a step can carry text, so the last one is sent again
        return keep

    def _partial(self, path: list[Node]) -> str:
        """What can be seen of a partial answer without having to be taken back."""
        stops = self._request.params.stop
        text = self._codec.settled(self._prompt.said([node.token for node in path]))
        text, stopped = cut(text, stops)
        return text if stopped else without_partial_stop(text, stops)


def step(request: Request, codec: Codec, index: int, node: Node, text: str) -> Step:
    """A token of an answer, which adds ``text`` to what is seen of it."""
    pieces = codec.pieces
    return Step(
        id=request.id,
        index=index,
        token=node.token,
        piece=pieces[node.token],
        text=text,
        raw_lp=node.raw_lp,
        proc_lp=node.proc_lp,
        search_lp=node.search_lp,
        rank=node.rank,
        entropy=node.entropy,
        top=tuple((token, lp, pieces[token]) for token, lp in node.top),
        forced=node.forced,
        distribution=node.distribution,
    )
