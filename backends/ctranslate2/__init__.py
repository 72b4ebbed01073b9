"""Backend ``ctranslate2``: fairseq and Hugging Face checkpoints with the compiled kernels of CTranslate2.

A checkpoint is converted once and kept in the user's cache; a folder that CTranslate2's own converters made
is taken as it is. Text becomes tokens and back exactly as in backend ``fairseq`` or ``hf``. Importing this
module costs nothing: the libraries come with ``load``.
"""

import contextlib
import importlib
from pathlib import Path
from typing import ClassVar

from backends.base import Engine, Progress, Requirement
from backends.ctranslate2 import folders
from backends.faults import package_needed
from repl.messages import ModelSpec
from repl.params import Support, SupportTable

_INSTALL = "pip install 'multigpu-repl[ctranslate2]'"
_OF_FAIRSEQ = ("diverse_groups", "diverse_strength", "diversity_rate", "constraints", "constraint_order")


class CTranslate2:
    """See ``backends.base.Backend``."""

    name: ClassVar[str] = "ctranslate2"
    summary: ClassVar[str] = "compiled inference for fairseq and Hugging Face checkpoints, int8 too"
    requires: ClassVar[tuple[Requirement, ...]] = tuple(
        Requirement(module=module, install=_INSTALL) for module in ("ctranslate2", "torch", "transformers")
    )
    parameters: ClassVar[SupportTable] = {
        "temperature": Support("exact", "", "this package's own sampler; no effect under beams"),
        "top_k": Support("exact", "", "applied first; no effect under beams"),
        "top_p": Support("exact", "", "of what top_k left; no effect under beams"),
        "min_p": Support("exact", "", "of what top_p left; no effect under beams"),
        "typical_p": Support("exact", "", "of what min_p left; no effect under beams"),
        "beam": Support("exact", "beam_size", "shown when complete"),
        "n": Support(
            "differs", "num_hypotheses", "the best of all that beams have found, fairseq of the first of them"
        ),
        "length_penalty": Support("exact", "length_penalty", "over the answer's tokens, end token included"),
        "repetition_penalty": Support(
            "differs", "repetition_penalty", "under beams only what the answer has said counts"
        ),
        "no_repeat_ngram": Support(
            "differs", "no_repeat_ngram_size", "under beams only what the answer has said counts"
        ),
        "unkpen": Support("differs", "", "refused under beams"),
        "presence_penalty": Support("differs", "", "as OpenAI's; refused under beams"),
        "frequency_penalty": Support("differs", "", "as OpenAI's; refused under beams"),
        "logit_bias": Support("differs", "", "on a word's last token; refused under beams"),
        "ban": Support(
            "differs", "suppress_sequences", "under beams what is left becomes more likely, not so in fairseq"
        ),
        "max_new": Support(
            "differs", "max_decoding_length", "a beam cut at the limit pays for its end only with logprobs"
        ),
        "min_new": Support(
            "differs", "min_decoding_length", "0 counts as 1 for a fairseq translation, which is never empty"
        ),
        "stop": Support("differs", "", "cuts the stop string off; beams are cut when they are complete"),
        "stop_tokens": Support(
            "differs", "end_token", "not shown; a beam ends with it, where fairseq adds a free end token"
        ),
        "seed": Support("exact", "", "the keyed sampler's own"),
        "logprobs": Support("exact", "return_logits_vocab", "beams are read once more for it"),
        "truncate": Support("exact", ""),
        "max_new_ratio": Support("exact", "", "of fairseq checkpoints"),
        "match_source_len": Support("differs", "", "of fairseq checkpoints; the answer has no end token"),
        "source_lang": Support("exact", "", "of fairseq checkpoints of several languages"),
        "target_lang": Support("exact", "", "of fairseq checkpoints of several languages"),
        **dict.fromkeys(_OF_FAIRSEQ, Support("none", "", "backend fairseq has it, CTranslate2 not")),
        "replace_unk": Support("none", "", "backend fairseq has it"),
    }

    @classmethod
    def preload(cls) -> None:
        """See ``Preloading``; whichever kind of checkpoint it will be, as far as its library is there."""
        with contextlib.suppress(ImportError):
            importlib.import_module("backends.fairseq.compat").load()  # before all that imports fairseq
            importlib.import_module("backends.ctranslate2.fairseq_source")
        with contextlib.suppress(ImportError):
            importlib.import_module("backends.ctranslate2.hf_source")
        importlib.import_module("backends.ctranslate2.load")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder that CTranslate2's converters made. Other checkpoints are converted if it is asked for."""
        return folders.recognises(path)

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """See ``Backend.load``."""
        progress("libraries", None)
        with package_needed(model.name, _INSTALL):
            loader = importlib.import_module("backends.ctranslate2.load")
        engine: Engine = loader.load(model, device, threads, progress)
        return engine
