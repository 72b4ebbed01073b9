"""Writes a Llama of 30 million weights, at random, with the tokenizer of the embedded causal LM.

``python -m repl.bench.peers.random_llama FOLDER`` leaves a checkpoint there: what it says is noise, what it
costs is what a trained one costs.
"""

import sys

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import logging as chatter

from repl.demo import model_path


def main() -> None:
    """The process."""
    chatter.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model_path("lm-late"))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=9,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(sys.argv[1])
    tokenizer.save_pretrained(sys.argv[1])


if __name__ == "__main__":
    main()
