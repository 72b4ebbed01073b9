"""Opens a fairseq checkpoint: loaded by backend ``fairseq``, which reads it as data, then converted.

``backends.fairseq.compat.load`` has been called before this is imported.
"""

import dataclasses
from pathlib import Path

import ctranslate2
import msgspec

from backends import cache
from backends.base import Progress
from backends.ctranslate2 import fairseq_spec
from backends.ctranslate2.fairseq_reader import FairseqReader
from backends.ctranslate2.opened import Opened
from backends.ctranslate2.options import Options
from backends.fairseq import files
from backends.fairseq.load import load
from repl.messages import ModelSpec


def open_checkpoint(spec: ModelSpec, chosen: Options, compute_type: str, progress: Progress) -> Opened:
    """Raises ``BackendError`` for what fairseq cannot load or CTranslate2 cannot run."""
    spec = msgspec.structs.replace(spec, dtype="float32")
    loaded = load(spec, "meta", progress)  # the weights are read where there is no conversion yet
    fairseq_spec.check(loaded)
    dictionaries = (loaded.task.source_dictionary, loaded.task.target_dictionary)

    def convert(folder: Path) -> None:
        whole = load(spec, "cpu", progress)
        fairseq_spec.FairseqConverter(whole).convert(str(folder), quantization=compute_type)

    return Opened(
        FairseqReader(dataclasses.replace(loaded, networks=[]), loaded.parameters),
        None,
        cache.key(
            files.checkpoints(spec),
            compute_type,
            ctranslate2.__version__,
            *(str(dictionary.symbols) for dictionary in dictionaries),
        ),
        convert,
    )
