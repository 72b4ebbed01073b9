"""A toy pool that also reads: it scores texts over its four tokens, as a person can work out."""

import math

from repl.messages import Error, Failed, Finished, Started, Step
from tests.session.support import Handle
from tests.session.toy import END, NEXT, PIECES, Toy


class Reader(Toy):
    """``score`` beside what ``Toy`` serves. A text is of the words a, b and c."""

    def __init__(self, models):
        super().__init__(models)
        self.asked = []
        """Every request, in order."""

    def serve(self, ticket: Handle) -> None:
        request = ticket.request
        self.asked.append(request)
        if request.task != "score" or request.model in self.broken or ticket.done:
            super().serve(ticket)
            return
        ticket.place(f"{request.model}/0")
        ids = list(request.target_ids) or ids_of(request.target)
        if None in ids:
            error = Error(kind="bad_parameter", message=f"no token for {request.target!r}", hint="a, b or c")
            ticket.deliver(Failed(id=request.id, error=error))
            return
        if request.closing:
            ids.append(END)
        context = ids_of(request.prompt)
        told = {"bos": (b"<s>",), "eos": (b"</s>",)}.get(request.opening, ())
        ticket.deliver(
            Started(id=request.id, prompt_ids=(9,), prompt_text=request.prompt, prompt_pieces=told)
        )
        last = context[-1] if context else None
        for index, token in enumerate(ids):
            chances = self.tables[request.model][last]
            known = index > 0 or request.opening != "none" or bool(context)
            best = sorted(range(4), key=lambda t: (-chances[t], t))
            ticket.deliver(
                Step(
                    id=request.id,
                    index=index,
                    token=token,
                    piece=PIECES[token],
                    text=PIECES[token].decode(),
                    raw_lp=math.log(chances[token]) if known else None,
                    rank=best.index(token) if known else None,
                    entropy=-sum(p * math.log(p) for p in chances) if known else None,
                    top=tuple((t, math.log(chances[t]), PIECES[t]) for t in best[: request.params.logprobs]),
                    forced=True,
                )
            )
            last = token
        ticket.deliver(Finished(id=request.id, reason="done", text=request.target))


def ids_of(text):
    return [PIECES.index(f" {word}".encode()) if word in ("a", "b", "c") else None for word in text.split()]


def nats(*tokens, after=None, table=NEXT):
    """The log-probability of tokens by their numbers."""
    total, last = 0.0, after
    for token in tokens:
        total += math.log(table[last][token])
        last = token
    return total
