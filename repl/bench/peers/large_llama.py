"""Writes a Llama of a known size with random weights in bfloat16, and prints what a token must read of it.

``python -m repl.bench.peers.large_llama FOLDER SIZE DEVICE`` leaves a checkpoint there, with the tokenizer of
the embedded causal LM: what it says is noise, what it costs is what a trained one costs. The weights are
drawn on the device, in their type: a CPU would draw those of the largest for minutes. The figure is in bytes:
all weights but an input embedding of its own, of which a token reads one row.
"""

import sys

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import logging as chatter

from repl.demo import model_path

SIZES = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
    },
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
"""Those of Llama 3, and one for tests."""
VOCABULARY = {"tiny": 4096}
LARGE_VOCABULARY = 128_256


SHARD = "2GB"
"""So much of it is in the host's memory at a time."""


def main() -> None:
    """The process."""
    folder, size, device = sys.argv[1:]
    chatter.disable_progress_bar()
    config = LlamaConfig(
        vocab_size=VOCABULARY.get(size, LARGE_VOCABULARY),
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
        dtype=torch.bfloat16,
        **SIZES[size],
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        network = LlamaForCausalLM(config)
    network.save_pretrained(folder, max_shard_size=SHARD)
    AutoTokenizer.from_pretrained(model_path("lm-late")).save_pretrained(folder)
    read = sum(weight.nbytes for weight in network.parameters())
    if not config.tie_word_embeddings:
        read -= network.get_input_embeddings().weight.nbytes
    print(read)


if __name__ == "__main__":
    main()
