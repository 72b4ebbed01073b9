"""A language model that has a say in the search of another model (``--lm-path``, ``--lm-weight``)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from backends.base import BackendError
from backends.fairseq import files, networks, safe_load
from repl.messages import ModelSpec


@dataclass(frozen=True)
class Fusion:
    """``weight`` times the language model's log-probabilities are added to those of the model."""

    network: Any
    weight: float

    @property
    def settings(self) -> dict[str, Any]:
        """As fairseq's generator takes them."""
        return {"lm_model": self.network, "lm_weight": self.weight}

    def thoughts(self, before: Tensor) -> Tensor:
        """What is added at each position of ``before`` ``[1, positions]``: ``[positions, vocab]``."""
        lprobs: Tensor = self.network.get_normalized_probs(self.network(before), True, None)[0]
        return lprobs.float() * self.weight


def load(
    spec: ModelSpec, path: Path, weight: float, folder: Path, dictionary: Any, device: str, dtype: str
) -> Fusion:
    """Read a language model's checkpoint; its dictionary is beside it or in ``folder``, and the same."""
    if not path.is_file():
        raise BackendError(
            "missing_file", f"lm_path of model '{spec.name}' does not exist: {path}", "check it"
        )
    data = path.parent if (path.parent / "dict.txt").is_file() else folder
    files.require_dictionaries(spec, data, ["dict.txt"])
    with safe_load.trusting(safe_load.is_trusted(spec.trust, path)):
        state, config = networks.read(spec, path, {"data": str(data)})
        if (kind := networks.name_of(config.task)) != "language_modeling":
            raise BackendError(
                "unsupported",
                f"lm_path of model '{spec.name}' is a checkpoint of the task '{kind}'",
                "it has to be a language model",
            )
        network, task = networks.build(spec, path, state, config, None)
    if task.target_dictionary.symbols != dictionary.symbols:
        raise BackendError(
            "unsupported",
            f"the language model {path} has another dictionary than model '{spec.name}'",
            "both have to be trained on the same symbols, in the same order",
        )
    return Fusion(networks.prepared(network, device, dtype), weight)
