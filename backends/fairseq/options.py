"""The ``options`` of a fairseq model in a configuration."""

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


def of(model: ModelSpec) -> Options:
    """The options of ``model``; ``BackendError`` names the one that is wrong."""
    try:
        return msgspec.convert(model.options, Options)
    except msgspec.ValidationError as error:
        known = ", ".join(Options.__struct_fields__)
        raise BackendError(
            "bad_parameter", f"options of {model.name}: {error}", f"known are {known}"
        ) from None
