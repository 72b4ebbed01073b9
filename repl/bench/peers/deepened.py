"""Writes a model that costs eight times what another does and says nearly the same.

Run as ``python -m repl.bench.peers.deepened FOLDER NEW``. The layers that are added have random weights and
say little, so the old model guesses most tokens of the new one right, as a good assistant does.
"""

import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

TIMES = 8
SAYS = 0.15
"""Standard deviation of the weights with which an added layer writes; the trained ones' is of that order."""


def main() -> None:
    """The process."""
    folder, new = sys.argv[1:]
    transformers.logging.disable_progress_bar()
    network = AutoModelForCausalLM.from_pretrained(folder)
    config, own = network.config, network.config.num_hidden_layers
    config.num_hidden_layers = TIMES * own
    deep = type(network)(config)
    deep.load_state_dict(network.state_dict(), strict=False)
    torch.manual_seed(0)
    for layer in deep.model.layers[own:]:
        for name, weight in layer.named_parameters():
            if weight.dim() == 2:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.data.normal_(0, SAYS if writes else 0.02)
    deep.save_pretrained(new)
    AutoTokenizer.from_pretrained(folder).save_pretrained(new)


if __name__ == "__main__":
    main()
