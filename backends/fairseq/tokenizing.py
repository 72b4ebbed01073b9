"""The task ``tokenize``: a text as the model would write or read it."""

from backends.fairseq.load import Model
from backends.fairseq.prompt import Source
from backends.fairseq.started import started
from repl.messages import Event, Finished, Request
from repl.readings import Tokenized


def tokenize(model: Model, request: Request) -> list[Event]:
    """All events of a request: the target by the dictionary of answers, or else the prompt by its own."""
    codec = model.codec
    if request.target:
        ids = codec.encode_answer(request.target).ids
        pieces, decoded, unk = codec.answer_pieces(ids), codec.text(ids), model.task.target_dictionary.unk()
    else:
        ids = codec.encode(request.prompt).ids
        pieces, decoded, unk = codec.prompt_pieces(ids), codec.prompt(ids), model.task.source_dictionary.unk()
    reading = Tokenized(
        ids=tuple(ids),
        pieces=tuple(pieces),
        unknown=tuple(token == unk for token in ids),
        decoded=decoded,
    )
    read = Source([] if request.target else ids, request.prompt, 0, [], [])
    return [
        started(model, request, read.ids, read, ()),
        Finished(id=request.id, reason="done", text=decoded, reading=reading),
    ]
