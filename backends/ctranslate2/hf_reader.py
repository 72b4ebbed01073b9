"""Reads lines for what was converted from a Hugging Face checkpoint: exactly as backend ``hf`` does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from backends.base import BackendError
from backends.ctranslate2 import scored
from backends.ctranslate2.asked import Asked
from backends.ctranslate2.hf_text import Answers
from backends.ctranslate2.writing import piece
from backends.hf import prompt as prompts
from backends.hf.model import Model
from backends.hf.text import Codec
from backends.hf.wording import Wording
from repl.messages import Capabilities, Event, Finished, Request, Started
from repl.params import Params, changed
from repl.readings import Tokenized

_OF_FAIRSEQ = ("max_new_ratio", "match_source_len", "source_lang", "target_lang")


@dataclass(frozen=True)
class Shape:
    """What of a network ``backends.hf.prompt`` asks for, by the names that it has there."""

    name: str
    codec: Codec
    embeddings: int
    seq2seq: bool
    template: str | None
    context: int | None = None
    max_prompt: int | None = None
    start: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()
    """What every answer begins with: a language code, mostly."""
    never: tuple[int, ...] = ()
    checkpoint_hash: str = ""
    parameters: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def chat(self) -> bool:
        """Whether the tokenizer brings a chat template."""
        return bool(getattr(self.codec.tokenizer, "chat_template", None))


class HuggingFaceReader:
    """See ``asked.Reader``."""

    charges = False
    attention = False
    source_ends: tuple[int, ...] = ()

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.pieces: Sequence[bytes] = shape.codec.pieces
        self.ends, self.never = shape.ends, shape.never
        self._wording = Wording(shape.codec, shape.embeddings)
        unknown = shape.codec.tokenizer.unk_token_id
        # GPT-2 and its kin use one token as both.
        self.unknown: int | None = None if unknown in shape.ends else unknown

    def read(self, request: Request) -> Asked:
        """See ``asked.Reader``."""
        if request.task == "score":
            return self._score(request)
        shape = self._shape
        prompt = prompts.build(cast(Model, shape), request)
        notes, before = list(prompt.notes), list(shape.start) if shape.seq2seq else prompt.ids
        if ignored := [name for name in _OF_FAIRSEQ if name in changed(request.params)]:
            notes.append(f"{', '.join(ignored)}: no effect on a Hugging Face model")
        if prompt.limit < request.params.max_new:
            notes.append(f"max_new is {prompt.limit} here: the model has {shape.context} positions")
        return Asked(
            started=self._started(request, prompt.ids, prompt.text, prompt.truncated, notes),
            codec=Answers(shape.codec, () if shape.seq2seq else prompt.ids),
            feed=prompt.ids,
            script=[*(() if request.resume else shape.begins), *prompt.forced],
            limit=prompt.limit,
            said=before,
            least=request.params.min_new,
            biases=self._biases(request.params),
            heard=before,
            stops=frozenset(self._wording.ends(request.params)) - {*shape.ends},
        )

    def _biases(self, params: Params) -> dict[tuple[int, ...], float]:
        """``Asked.biases``."""
        found = self._wording.biases(params)
        if params.unkpen and self.unknown is not None:
            found[(self.unknown,)] = found.get((self.unknown,), 0.0) - params.unkpen
        for tokens in self._wording.banned(params):
            if tokens not in [[end] for end in self.ends]:  # without one no answer would end
                found[tuple(tokens)] = float("-inf")
        return found

    def tokenize(self, request: Request) -> list[Event]:
        """See ``asked.Reader``."""
        codec, text = self._shape.codec, request.target or request.prompt
        ids = self._ids(text, special=False, answer=bool(request.target))
        reading = Tokenized(
            ids=tuple(ids),
            pieces=tuple(codec.piece(token) for token in ids),
            unknown=tuple(token == codec.tokenizer.unk_token_id for token in ids),
            decoded=codec.decode(ids, skip_special=False),
        )
        read = [] if request.target else ids
        return [
            self._started(request, read, request.prompt, 0, ()),
            Finished(id=request.id, reason="done", text=reading.decoded, reading=reading),
        ]

    def capabilities(self) -> Capabilities:
        """See ``asked.Reader``."""
        shape = self._shape
        return Capabilities(
            kind="seq2seq" if shape.seq2seq else "causal",
            slots=1,
            max_prompt=shape.max_prompt,
            vocab_size=len(shape.codec.pieces),
            vocab_fingerprint=shape.codec.fingerprint,
            chat=shape.chat,
            checkpoint_hash=shape.checkpoint_hash,
            parameters=shape.parameters,
            notes=shape.notes,
        )

    def _score(self, request: Request) -> Asked:
        shape = self._shape
        feed = self._ids(request.prompt) if request.prompt else []
        target = [*request.target_ids, *self._target(request, feed)]
        if request.closing:
            target += shape.ends[:1]
        if strange := [token for token in target if not 0 <= token < shape.embeddings]:
            raise BackendError(
                "bad_parameter",
                f"model '{shape.name}' cannot be given token {strange[0]}: it has {shape.embeddings}",
                "take the tokens from this model, or from one of the same vocabulary",
            )
        prompt, notes = feed, list[str]()
        if not shape.seq2seq and not feed:
            feed, notes = self._opened(request)
        length = len(target) if shape.seq2seq else len(feed) + len(target)
        scored.check(shape.name, target, length, shape.context)
        told = self._started(request, prompt, request.prompt, 0, notes)
        script = [*shape.begins, *target]
        codec = Answers(shape.codec, () if shape.seq2seq else feed or script[:1])
        return scored.asked(told, codec, feed, script)

    def _target(self, request: Request, feed: list[int]) -> list[int]:
        """The text's tokens, as they are when they follow the prompt where that can be told."""
        if not request.target:
            return []
        if not self._shape.seq2seq and feed:
            whole = self._ids(request.prompt + request.target)
            if whole[: len(feed)] == feed:
                return whole[len(feed) :]
        return self._ids(request.target, special=False, answer=True)

    def _opened(self, request: Request) -> tuple[list[int], list[str]]:
        """What a decoder reads before a text without a prompt, and a word on it."""
        tokenizer = self._shape.codec.tokenizer
        tokens = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "none": None}
        first = tokens.get(request.opening)
        if request.opening == "auto":
            first = tokens["bos"] if tokens["bos"] is not None else tokens["eos"]
        if first is None:
            return [], ["begins with nothing: the first token has no score"]
        return [int(first)], [f"begins with {tokenizer.convert_ids_to_tokens(int(first))}"]

    def _ids(self, text: str, *, special: bool = True, answer: bool = False) -> list[int]:
        tokenizer = self._shape.codec.tokenizer
        if answer and self._shape.seq2seq:
            return list(tokenizer(text_target=text, add_special_tokens=special)["input_ids"])
        return list(tokenizer(text, add_special_tokens=special)["input_ids"])

    def _started(
        self, request: Request, ids: Sequence[int], text: str, truncated: int, notes: Sequence[str]
    ) -> Started:
        plain = request.task == "generate" and not (request.distributions or request.attention)
        return Started(
            id=request.id,
            prompt_ids=tuple(ids),
            prompt_text=text,
            truncated=truncated,
            notes=tuple(notes),
            prompt_pieces=() if plain else tuple(piece(self.pieces, token) for token in ids),
        )
