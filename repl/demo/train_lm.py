"""Train the demo language model: one run on Python's documentation, kept early and at its end.

A Llama of 1.6 million parameters with its own byte-level BPE. Matrices are trained by Muon, embeddings and
norms by AdamW, both with a learning rate that falls to zero. The two folders hold half-precision weights in
the Hugging Face format; `lm-late` also holds `training.json`, the record of the run.
"""

import copy
import json
import math
import platform
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from repl.demo import corpus

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
CONTEXT = 512
# A word or a mark with the space before it, up to three digits, all line ends in a row, or other white space.
_PIECES = r" ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"


class Plan(NamedTuple):
    """What a run is made of; the defaults made the committed weights."""

    steps: int = 2700
    early: int = 320
    rows: int = 3
    window: int = CONTEXT
    vocabulary: int = 3072
    width: int = 128
    layers: int = 6
    muon_rate: float = 0.02
    adam_rate: float = 0.006
    seed: int = 7


DEFAULT = Plan()


def train_lm(early: Path, late: Path, plan: Plan = DEFAULT) -> None:
    """Train one model and write its checkpoint after `plan.early` steps and its last one."""
    torch.manual_seed(plan.seed)
    texts = corpus.split(corpus.documents())
    tokenizer = train_tokenizer(texts.train, plan.vocabulary)
    model = build_model(tokenizer, plan)
    optimizers = _optimizers(model, plan)
    batches = _batches(tokenizer, texts.train, plan)
    record: dict[str, Any] = _describe(texts, model, plan)
    began = time.monotonic()
    for step in range(1, plan.steps + 1):
        loss = _step(model, next(batches), optimizers, _schedule(step, plan.steps))
        if step % 100 == 0 or step in (1, plan.early):
            seconds = round(time.monotonic() - began)
            record["training_loss"].append([step, round(loss, 3)])
            print(f"step {step}/{plan.steps}  loss {loss:.3f}  {seconds} s", flush=True)
        if step == plan.early:
            save(model, tokenizer, early)
    save(model, tokenizer, late)
    record["seconds"] = round(time.monotonic() - began)
    (late / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `vocabulary` entries, which puts the begin token before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> LlamaForCausalLM:
    """The untrained model: a small Llama with tied embeddings and grouped-query attention."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.width,
        intermediate_size=3 * plan.width,
        num_hidden_layers=plan.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in half precision, configuration and tokenizer; `model` itself stays as it is.

    The tokenizer's class is named as versions 4 and 5 of transformers both know it.
    """
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = {**json.loads(path.read_text(encoding="utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, with the begin token before and the end token behind."""
    end = tokenizer.eos_token_id
    return [[*encoding.ids, end] for encoding in tokenizer.backend_tokenizer.encode_batch(texts)]


def _batches(tokenizer: PreTrainedTokenizerFast, texts: list[str], plan: Plan) -> Iterator[torch.Tensor]:
    """Endless batches: the documents in a new order each epoch, joined and cut into windows."""
    documents = encode(tokenizer, texts)
    rng = random.Random(plan.seed)
    size = plan.rows * (plan.window + 1)
    stream: list[int] = []
    while True:
        rng.shuffle(documents)
        for document in documents:
            stream += document
            while len(stream) >= size:
                yield torch.tensor(stream[:size]).view(plan.rows, -1)
                del stream[:size]


def _step(
    model: LlamaForCausalLM, batch: torch.Tensor, optimizers: list[torch.optim.Optimizer], factor: float
) -> float:
    """One update with every learning rate scaled by `factor`; the loss of the batch before it."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.detach())


def _schedule(step: int, steps: int) -> float:
    """Warm up over the first 2 %, then follow a cosine down to zero."""
    warm = max(1, steps // 50)
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _describe(texts: corpus.Split, model: LlamaForCausalLM, plan: Plan) -> dict[str, Any]:
    """What someone needs to know to build the same weights again."""
    return {
        "plan": plan._asdict(),
        "parameters": model.num_parameters(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus": {
            "train": {"digest": corpus.digest(texts.train), "characters": sum(map(len, texts.train))},
            "held_out": {
                "digest": corpus.digest(texts.held_out),
                "characters": sum(map(len, texts.held_out)),
            },
        },
        "training_loss": [],
    }
