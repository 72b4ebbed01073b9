"""What a pair of languages puts round a text, for models of several languages.

Tasks of several languages mark the languages with tokens of their own: before the source, in the place of an
end token, or at the beginning of every answer. A model of one pair marks nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.base import BackendError

_NAMED = 10
"""Languages that an error lists."""


@dataclass(frozen=True)
class Route:
    """From one language to another."""

    end: int
    """The last token the encoder reads."""
    begin: int
    """The first token the decoder reads."""
    before: tuple[int, ...] = ()
    """What the encoder reads before the source."""
    opens: tuple[int, ...] = ()
    """What every answer opens with; given, not chosen."""


class Routes:
    """The routes of a model. ``source`` and ``target`` are the languages it has by default."""

    def __init__(self, task: Any, source: str | None, target: str | None, begin: int) -> None:
        self._task, self.begin = task, begin
        self._source, self._target = source, target
        self._make: Callable[[str, str], Route] | None = None
        self.silent: frozenset[int] = frozenset()
        """Tokens that mark languages and are no text."""
        if hasattr(task, "data_manager"):
            self._make = self._marked
            symbols = [self._symbol(language, "tgt") for language in task.langs]
            dictionary = task.target_dictionary
            known = (dictionary.index(symbol) for symbol in symbols)
            self.silent = frozenset(token for token in known if token != dictionary.unk())
        elif hasattr(task, "get_decoder_langtok"):
            end = task.get_encoder_langtok(source, target)
            self._only = Route(end, task.get_decoder_langtok(target))
            self.silent = frozenset({self._only.begin} - {task.target_dictionary.eos()})
        else:
            self._only = Route(task.source_dictionary.eos(), begin)

    def find(self, source: str | None, target: str | None) -> Route:
        """The route between two languages, None for the model's own; ``BackendError`` if it has none."""
        source, target = source or self._source, target or self._target
        if self._make is None:
            if (source, target) != (self._source, self._target):
                raise BackendError(
                    "bad_parameter",
                    f"source_lang = {source}, target_lang = {target}: this model knows only "
                    + (f"{self._source} to {self._target}" if self._source else "one language"),
                    "/set source_lang none and /set target_lang none",
                )
            return self._only
        assert source is not None and target is not None
        languages = self._task.langs
        for language in (source, target):
            if language not in languages:
                more = f" and {len(languages) - _NAMED} more" if len(languages) > _NAMED else ""
                raise BackendError(
                    "bad_parameter",
                    f"the model does not know the language '{language}'",
                    f"it knows {', '.join(languages[:_NAMED])}{more}",
                )
        return self._make(source, target)

    def _marked(self, source: str, target: str) -> Route:
        """As the task ``translation_multi_simple_epoch`` marks the languages."""
        task = self._task
        of_source, of_target = task.args.langtoks["main"]
        end, begin = task.source_dictionary.eos(), self.begin
        before: tuple[int, ...] = ()
        opens: tuple[int, ...] = ()
        if of_source:
            language = source if of_source.startswith("src") else target
            before = (self._index(task.source_dictionary, language, of_source),)
        if of_target:
            opens = (self._index(task.target_dictionary, target, of_target),)
        if task.args.lang_tok_replacing_bos_eos:
            return Route(*(before or (end,)), *(opens or (begin,)))
        return Route(end, begin, before, opens)

    def _symbol(self, language: str, spec: str) -> str:
        from fairseq.data.multilingual.multilingual_utils import get_lang_tok

        return str(get_lang_tok(language, self._task.args.lang_tok_style, spec))

    def _index(self, dictionary: Any, language: str, spec: str) -> int:
        index = int(dictionary.index(self._symbol(language, spec)))
        if index == dictionary.unk():
            raise BackendError(
                "bad_parameter",
                f"the dictionary has no token for the language '{language}'",
                "set 'data' to the folder with the model's own dictionaries",
            )
        return index
