"""The task ``tokenize``: a text as the model would write or read it."""

from backends.hf.events import started
from backends.hf.prompt import Prompt, token_ids
from backends.hf.text import Codec
from repl.messages import Event, Finished, Request
from repl.readings import Tokenized


def tokenize(codec: Codec, request: Request, *, translates: bool = False) -> list[Event]:
    """All events of a request; ``translates`` says that a tokenizer may write otherwise than it reads."""
    text = request.target or request.prompt
    if request.target and translates:
        ids = list(codec.tokenizer(text_target=text, add_special_tokens=False)["input_ids"])
    else:
        ids = token_ids(codec.tokenizer, text, add_special_tokens=False)
    unknown = codec.tokenizer.unk_token_id
    if (
        unknown == codec.tokenizer.eos_token_id
    ):  # GPT-2 and its kin name one token for both, and write it for neither
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
