"""Builds fairseq's own word splitters (BPE and tokenizers) from files of this machine.

A checkpoint may name them with paths of the machine it was trained on, or with addresses on the network. A
file is taken from where the options say, else from the data folder; nothing is fetched.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

from backends.base import BackendError
from backends.fairseq.options import Options

TOKENIZERS = ("moses", "nltk", "space")

FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "sentencepiece": {"sentencepiece_model": ("sentencepiece.bpe.model", "sentencepiece.model", "spm.model")},
    "subword_nmt": {"bpe_codes": ("bpecodes", "code", "codes")},
    "fastbpe": {"bpe_codes": ("bpecodes", "code", "codes")},
    "gpt2": {"gpt2_encoder_json": ("encoder.json",), "gpt2_vocab_bpe": ("vocab.bpe",)},
    "characters": {},
    "bytes": {},
}
"""The files each splitter needs, by the option that names them, and what released models call them."""

_PACKAGES = {
    "sentencepiece": "sentencepiece",
    "subword_nmt": "subword-nmt",
    "fastbpe": "fastBPE",
    "moses": "sacremoses",
    "nltk": "nltk",
}


def bpe(options: Options, configured: Any, folder: Path) -> Any | None:
    """The subword splitter with ``encode`` and ``decode``, or None; ``configured`` is the checkpoint's."""
    name = _name(options.bpe, configured)
    if name is None:
        return None
    if name not in FILES:
        raise BackendError(
            "unsupported", f"bpe '{name}' is not supported", f"supported are {', '.join(FILES)} and none"
        )
    files = {
        option: _file(option, getattr(options, option), _get(configured, option), usual, folder, name)
        for option, usual in FILES[name].items()
    }
    from fairseq.data import encoders

    return _build(encoders.build_bpe, name, Namespace(bpe=name, **files))


def tokenizer(options: Options, configured: Any, languages: tuple[str, str]) -> Any | None:
    """The tokenizer with ``encode`` and ``decode``, or None."""
    name = _name(options.tokenizer, configured)
    if name is None:
        return None
    if name not in TOKENIZERS:
        raise BackendError(
            "unsupported",
            f"tokenizer '{name}' is not supported",
            f"supported are {', '.join(TOKENIZERS)} and none",
        )
    from fairseq.data import encoders

    source, target = languages
    given = Namespace(tokenizer=name, source_lang=source, target_lang=target)
    return _build(encoders.build_tokenizer, name, given)


def _name(chosen: str | None, configured: Any) -> str | None:
    name = chosen if chosen is not None else _get(configured, "_name")
    return None if name in (None, "none") else str(name)


def _get(configured: Any, key: str) -> Any:
    """A value of the checkpoint's configuration, which may be absent, a name or a mapping."""
    if configured is None or isinstance(configured, str):
        return configured if key == "_name" else None
    return configured.get(key)


def _file(
    option: str, chosen: str | None, trained_with: Any, usual: tuple[str, ...], folder: Path, bpe: str
) -> str:
    """The path of a splitter's file; ``BackendError`` says where it was looked for."""
    if chosen is not None:
        candidates = [Path(chosen).expanduser(), folder / chosen]
    else:
        named = [Path(trained_with).name] if isinstance(trained_with, str) and trained_with else []
        candidates = [folder / name for name in (*named, *usual)]
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate)
    looked = ", ".join(map(str, candidates))
    raise BackendError(
        "missing_file",
        f"bpe '{bpe}' needs its {option}, which is not here; looked for {looked}",
        f"put 'options: {{{option}: FILE}}' into the model's configuration; files are never downloaded",
    )


def _build(build: Any, name: str, given: Namespace) -> Any:
    try:
        return build(given)
    except ImportError as error:
        package = _PACKAGES.get(name, name)
        raise BackendError(
            "missing_package", f"'{name}' needs the package {package}", f"pip install {package}", str(error)
        ) from None
    except Exception as error:  # the file is not what it is said to be, and every library says so differently
        files = ", ".join(f"{key} {value}" for key, value in vars(given).items() if value != name)
        raise BackendError(
            "not_a_checkpoint",
            f"'{name}' cannot be set up from {files}: {error}",
            "check that the file is the one this model was trained with",
        ) from None
