"""A toy pool that serves every task that looks into a text, as a person can work out."""

import math
from itertools import product

import msgspec

from repl.messages import Finished, Hypothesis, Started
from repl.readings import Filled, Labelled, Lens, LensCell, Tokenized
from tests.session.reader import Reader, ids_of
from tests.session.toy import NEXT, PIECES


class Library(Reader):
    """Serves the tasks that draw no text, too, and beams."""

    def __init__(self, models):
        super().__init__(models)
        for name, status in self.replicas.items():
            kind = msgspec.structs.replace(status.capabilities, attention=True, kind="seq2seq")
            self.replicas[name] = msgspec.structs.replace(status, capabilities=kind)

    def serve(self, ticket):
        request = ticket.request
        answer = self.reading(request)
        if answer is None or request.model in self.broken:
            super().serve(ticket)
            return
        self.asked.append(request)
        pieces = tuple(f" {word}".encode() for word in request.prompt.split())
        ticket.place(f"{request.model}/0")
        ids = tuple(range(len(pieces)))
        ticket.deliver(
            Started(id=request.id, prompt_ids=ids, prompt_text=request.prompt, prompt_pieces=pieces)
        )
        ticket.deliver(answer)

    def reading(self, request):
        match request.task:
            case "tokenize" if request.prompt:
                ids = ids_of(request.prompt)
                pieces = tuple(PIECES[token] for token in ids)
                reading = Tokenized(
                    ids=tuple(ids), pieces=pieces, unknown=(False,) * len(ids), decoded=request.prompt
                )
                return done(request, reading)
            case "classify":
                labels = (("good", math.log(0.75)), ("bad", math.log(0.25)))
                return done(request, Labelled(labels=labels))
            case "fill":
                gap = ((1, math.log(0.5), b" a"), (2, math.log(0.25), b" b"))
                return done(request, Filled(gaps=(gap, gap), texts=("x a y a", "x b y b")))
            case "lens":
                cells = [
                    tuple(
                        LensCell(token=t, piece=PIECES[t], raw_lp=-0.5, rank=None if t == 3 else t - 1, kl=kl)
                        for t in (1, 2, 3)
                    )
                    for kl in (math.log(2) * 3, 0.0)
                ]
                return done(request, Lens(ids=(1, 2, 3), pieces=PIECES[1:], layers=tuple(cells)))
            case "generate" if request.params.beam > 1:
                return beams(request)
        return None


def done(request, reading):
    return Finished(id=request.id, reason="done", text="", reading=reading)


def beams(request):
    """The best of all texts of at most three tokens, by the mean over their length."""
    found = []
    for length in (1, 2, 3):
        for ids in product((1, 2, 3), repeat=length - 1):
            whole = (*ids, 0)
            last, scores = None, []
            for token in whole:
                scores.append(math.log(NEXT[last][token]))
                last = token
            found.append((sum(scores) / length**request.params.length_penalty, whole, tuple(scores)))
    found.sort(reverse=True)
    hypotheses = tuple(
        Hypothesis(
            text="".join(PIECES[i].decode() for i in ids), tokens=ids, score=score, token_scores=scores
        )
        for score, ids, scores in found[: request.params.n]
    )
    return Finished(id=request.id, reason="eos", text=hypotheses[0].text, hypotheses=hypotheses)
