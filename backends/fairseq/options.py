"""The ``options`` of a fairseq model in a configuration."""

from typing import Any

import msgspec

from backends.base import BackendError
from repl.messages import ModelSpec


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All may be left out. Files are looked for as named, then in the data folder; none is ever fetched."""

    source_lang: str | None = None
    """Language pair of a translation model; by default the checkpoint's."""
    target_lang: str | None = None
    bpe: str | None = None
    """How text is split into the dictionary's symbols, or ``none``; by default the checkpoint's."""
    bpe_codes: str | None = None
    """For ``subword_nmt`` and ``fastbpe``."""
    sentencepiece_model: str | None = None
    gpt2_encoder_json: str | None = None
    gpt2_vocab_bpe: str | None = None
    tokenizer: str | None = None
    """What comes before the splitting: ``moses``, ``nltk``, ``space`` or ``none``."""
    remove_bpe: str | None = None
    """Marks to take off the output where no ``bpe`` does: ``@@``, ``sentencepiece``, ``_EOW`` or ``none``."""
    align_dict: str | None = None
    """A file with a word and its translation on each line, for ``replace_unk``."""
    lm_path: str | None = None
    """Checkpoint of a language model that has a say in the search."""
    lm_weight: float = 0.0
    """By which its log-probabilities count."""
    retain_dropout: bool = False
    """Keep dropout on: answers and figures vary with the seed."""
    retain_dropout_modules: tuple[str, ...] | None = None
    """Only in these modules, by the names of their classes."""
    model_overrides: dict[str, Any] = {}
    """Changes to the configuration in the checkpoint."""
    user_dir: str | None = None
    """Folder of the user's own tasks and architectures; it has to be trusted."""

    @property
    def dropout(self) -> tuple[str, ...] | bool:
        """In which modules dropout stays on: in these, in all or in none."""
        if self.retain_dropout and self.retain_dropout_modules is not None:
            return self.retain_dropout_modules
        return self.retain_dropout


def of(model: ModelSpec) -> Options:
    """The options of ``model``; ``BackendError`` names the one that is wrong."""
    try:
        return msgspec.convert(model.options, Options)
    except msgspec.ValidationError as error:
        known = ", ".join(Options.__struct_fields__)
        raise BackendError(
            "bad_parameter", f"options of {model.name}: {error}", f"known are {known}"
        ) from None
