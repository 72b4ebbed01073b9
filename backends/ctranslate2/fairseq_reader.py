"""Reads lines for what was converted from a fairseq checkpoint: exactly as backend ``fairseq`` does."""

from collections.abc import Sequence

import msgspec

from backends.base import BackendError
from backends.ctranslate2 import scored
from backends.ctranslate2.asked import Asked
from backends.fairseq import prompt as prompts
from backends.fairseq import tokenizing, wording
from backends.fairseq.load import Model
from backends.fairseq.routes import Route
from backends.fairseq.started import started
from repl.messages import Capabilities, Event, Request
from repl.params import Params


class FairseqReader:
    """See ``asked.Reader``. ``model`` needs no networks any more."""

    charges = True

    def __init__(self, model: Model, parameters: int) -> None:
        self._model, self._parameters = model, parameters
        dictionary = model.task.target_dictionary
        self.pieces: Sequence[bytes] = model.codec.pieces
        self.attention = not model.causal
        self.ends: tuple[int, ...] = (model.codec.eos,)
        self.source_ends: tuple[int, ...] = (model.codec.source_eos,)
        self.never: tuple[int, ...] = (int(dictionary.pad()),)
        self.unknown: int | None = int(dictionary.unk())

    def read(self, request: Request) -> Asked:
        """See ``asked.Reader``."""
        return self._score(request) if request.task == "score" else self._generate(request)

    def tokenize(self, request: Request) -> list[Event]:
        """See ``asked.Reader``."""
        return tokenizing.tokenize(self._model, request)

    def capabilities(self) -> Capabilities:
        """See ``asked.Reader``."""
        model = self._model
        return Capabilities(
            kind="causal" if model.causal else "seq2seq",
            slots=1,
            max_prompt=model.max_prompt,
            vocab_size=len(model.codec.pieces),
            vocab_fingerprint=model.codec.fingerprint,
            checkpoint_hash=model.checkpoint_hash,
            parameters=self._parameters,
            notes=model.notes,
            attention=self.attention,
        )

    def _generate(self, request: Request) -> Asked:
        model, params = self._model, request.params
        prompt = prompts.build(model, request)
        matching = prompts.matches(model, params)
        return Asked(
            started=started(model, request, prompt.ids, prompt, prompt.notes),
            codec=model.codec,
            feed=[prompt.begin, *prompt.ids] if model.causal else prompt.ids,
            script=prompt.forced,
            limit=prompt.limit,
            said=prompt.ids if model.causal else [],
            start=() if model.causal else (prompt.begin,),
            least=prompt.limit if matching else max(0 if model.causal else 1, params.min_new),
            biases=_biases(model, params),
            stops=prompt.stops,
            free=matching,
        )

    def _score(self, request: Request) -> Asked:
        model = self._model
        target, unknown = prompts.given(model, request.target_ids, request.target)
        if request.closing:
            target.append(model.codec.eos)
        route = model.routes.find(request.params.source_lang, request.params.target_lang)
        opens = [] if tuple(target[: len(route.opens)]) == route.opens else [*route.opens]
        most = model.max_target - len(opens)
        scored.check(model.name, target, len(target), most)
        room = most - len(target) if model.causal else model.max_prompt
        source = prompts.read(model, request, None if room is None else room - len(route.before))
        if not source.ids and not model.causal:
            raise BackendError("empty_prompt", "the prompt is empty", "give the source of the text to score")
        notes = prompts.unknown_words(source.unknown + unknown)
        if not model.causal and request.opening not in ("auto", "eos"):
            notes.append(f"opening = {request.opening}: no effect, a translation begins with </s>")
        ids = prompts.fed(model, route, source)
        told = started(model, request, ids, source, notes)
        if model.causal:
            return scored.asked(told, model.codec, self._opened(request, route, ids), target)
        return scored.asked(told, model.codec, ids, target, (route.begin, *opens))

    def _opened(self, request: Request, route: Route, ids: list[int]) -> list[int]:
        """What a language model reads before the text it scores."""
        if ids or request.opening == "auto":
            return [route.begin, *ids]
        dictionary = self._model.task.target_dictionary
        return {"bos": [dictionary.bos()], "eos": [dictionary.eos()], "none": []}[request.opening]


def _biases(model: Model, params: Params) -> dict[tuple[int, ...], float]:
    """``Asked.biases``; what is taken off the unknown token is the same at any temperature, as in fairseq."""
    found = wording.biases(model.codec, msgspec.structs.replace(params, temperature=1.0))
    if params.unkpen:
        unknown = (int(model.task.target_dictionary.unk()),)
        found[unknown] = found.get(unknown, 0.0) - params.unkpen * (params.temperature or 1.0)
    return found
