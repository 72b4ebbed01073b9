"""Writes a translation model of base size with random weights, by fairseq's own builders.

``python -m repl.bench.peers.random_transformer FOLDER`` leaves ``model.pt`` and its dictionaries there: what
it says is noise, what it costs is what a trained one costs.
"""

import sys
import warnings
from pathlib import Path

from backends.fairseq import compat

VOCABULARY = 16_000


def main() -> None:
    """The process."""
    compat.load()
    import torch
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from omegaconf import OmegaConf

    folder = Path(sys.argv[1])
    symbols = "".join(f"w{number} 1\n" for number in range(VOCABULARY))
    for language in ("src", "tgt"):
        (folder / f"dict.{language}.txt").write_text(symbols, encoding="utf-8")
    arguments = [str(folder), "--task", "translation", "--arch", "transformer", "--cpu"]
    arguments += ["--source-lang", "src", "--target-lang", "tgt", "--share-decoder-input-output-embed"]
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hydra's and torch's, about fairseq
        args = options.parse_args_and_arch(options.get_training_parser(), arguments)
        config = convert_namespace_to_omegaconf(args)
        network = tasks.setup_task(config.task).build_model(config.model)
    state = {
        "args": None,
        "cfg": OmegaConf.to_container(config, enum_to_str=True),
        "model": network.state_dict(),
        "optimizer_history": [
            {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0}
        ],
        "extra_state": {},
    }
    torch.save(state, folder / "model.pt")


if __name__ == "__main__":
    main()
