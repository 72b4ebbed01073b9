"""Backend ``fairseq``: translation and language models in the checkpoints of classic fairseq (0.12.2).

fairseq itself loads and decodes; this package makes it run on today's libraries (``compat``), reads its
checkpoints as data (``safe_load``), and streams out of its search (``search``). Importing this module costs
nothing: torch and fairseq come with ``load``.
"""

import importlib
from pathlib import Path
from typing import ClassVar

from backends.base import Engine, Progress, Requirement
from backends.fairseq import files
from backends.faults import package_needed
from repl.messages import ModelSpec
from repl.params import Support, SupportTable

_INSTALL = "multigpu-repl install fairseq"


class Fairseq:
    """See ``backends.base.Backend``."""

    name: ClassVar[str] = "fairseq"
    summary: ClassVar[str] = "fairseq checkpoints: translation and language models, ensembles"
    requires: ClassVar[tuple[Requirement, ...]] = tuple(
        Requirement(module=module, install=_INSTALL)
        for module in ("torch", "fairseq", "numpy", "hydra", "omegaconf", "sacrebleu", "bitarray", "regex")
    )
    parameters: ClassVar[SupportTable] = {
        "temperature": Support(
            "differs", "--temperature, --sampling", "under beams divides the logits; nothing is drawn"
        ),
        "top_k": Support("exact", "--sampling-topk", "applied first; no effect under beams"),
        "top_p": Support("exact", "--sampling-topp", "of what top_k left; no effect under beams"),
        "min_p": Support("exact", "", "of what top_p left; no effect under beams"),
        "beam": Support("exact", "--beam", "at most the number of symbols less one"),
        "n": Support("exact", "--nbest", "no effect without sampling or beams"),
        "length_penalty": Support(
            "differs", "--lenpen", "a language model's score and length count the prompt too"
        ),
        "repetition_penalty": Support("none", "", "fairseq has none"),
        "no_repeat_ngram": Support(
            "exact", "--no-repeat-ngram-size", "this package's own; a language model's prompt counts"
        ),
        "unkpen": Support("exact", "--unkpen"),
        "max_new": Support(
            "differs", "--max-len-b", "at the limit a beam's score is charged for the end token"
        ),
        "min_new": Support("differs", "--min-len", "0 counts as 1 for a translation, which is never empty"),
        "stop": Support("exact", "", "the stop string itself is cut off"),
        "seed": Support("exact", "--seed", "the keyed sampler's own"),
        "logprobs": Support("exact", ""),
        "truncate": Support("exact", ""),
        "diverse_groups": Support("exact", "--diverse-beam-groups"),
        "diverse_strength": Support("exact", "--diverse-beam-strength"),
        "diversity_rate": Support("exact", "--diversity-rate"),
        "match_source_len": Support("exact", "--match-source-len", "no effect on a language model"),
        "max_new_ratio": Support("exact", "--max-len-a", "of the prompt alone, whatever it is batched with"),
        "constraints": Support("exact", "--constraints", "translations only"),
        "constraint_order": Support("exact", "--constraints ordered"),
        "typical_p": Support("exact", "", "of what min_p left; no effect under beams"),
        "presence_penalty": Support("exact", "", "as OpenAI's; the prompt does not count"),
        "frequency_penalty": Support("exact", "", "as OpenAI's; the prompt does not count"),
        "logit_bias": Support("exact", "", "on a word's last token; beams are not renormalised"),
        "ban": Support("exact", "", "a word's last token after the others"),
        "stop_tokens": Support("exact", "", "the token itself is not shown"),
        "source_lang": Support("exact", "--source-lang", "of translation_multi_simple_epoch; else an option"),
        "target_lang": Support("exact", "--target-lang", "of translation_multi_simple_epoch; else an option"),
        "replace_unk": Support("exact", "--replace-unk", "translations only; by hard alignment"),
    }

    @classmethod
    def preload(cls) -> None:
        """See ``Preloading``."""
        importlib.import_module("backends.fairseq.compat").load()  # before all that imports fairseq
        importlib.import_module("backends.fairseq.engine")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A ``.pt`` file, several joined by ':', or a folder with one and a dictionary."""
        return files.recognises(path)

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """See ``Backend.load``."""
        progress("libraries", None)
        with package_needed(model.name, _INSTALL):
            cls.preload()
            engine: Engine = importlib.import_module("backends.fairseq.engine").load(
                model, device, threads, progress
            )
        return engine
