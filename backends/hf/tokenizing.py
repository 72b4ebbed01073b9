"""The task ``tokenize``: a text as the model would write or read it."""

from backends.hf.events import started
from backends.hf.model import Model
from backends.hf.prompt import Prompt, token_ids
from repl.messages import Event, Finished, Request
from repl.readings import Tokenized


def tokenize(model: Model, request: Request) -> list[Event]:
    """All events of a request."""
    codec = model.codec
    text = request.target or request.prompt
    if request.target and model.seq2seq:
        ids = list(codec.tokenizer(text_target=text, add_special_tokens=False)["input_ids"])
    else:
        ids = token_ids(codec.tokenizer, text, add_special_tokens=False)
    unknown = codec.tokenizer.unk_token_id
    if unknown in model.fixed.eos:  # GPT-2 and its kin name one token for both, and write it for neither
        unknown = None
    reading = Tokenized(
        ids=tuple(ids),
        pieces=tuple(map(codec.piece, ids)),
        unknown=tuple(token == unknown for token in ids),
        decoded=codec.decode(ids, skip_special=False),
    )
    prompt = Prompt([] if request.target else ids, request.prompt, [], 0, 0, ())
    return [
        started(request, prompt, (), codec.piece),
        Finished(id=request.id, reason="done", text=reading.decoded, reading=reading),
    ]
