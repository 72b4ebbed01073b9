"""Train the two demo models that read and do not write: the masked one and the classifier.

Both are small BERTs over number words. `numcloze` fills the gaps of lines such as "two hundred and five is
2 0 5"; `numkind` tells how large a number is, or that the words spell none. The folders hold half-precision
weights in the Hugging Face format.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from repl.demo import number_words
from repl.demo.train_lm import save

PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
IGNORED = -100
"""A position that the loss leaves out."""


class Plan(NamedTuple):
    """What a run is made of; the defaults of the two functions made the committed weights."""

    steps: int
    rows: int
    width: int
    layers: int
    longest: int
    rate: float
    seed: int = 7


CLOZE = Plan(steps=4000, rows=64, width=64, layers=3, longest=40, rate=2e-3)
KIND = Plan(steps=1500, rows=64, width=48, layers=2, longest=40, rate=2e-3)
Batch = dict[str, Tensor]


def train_numcloze(folder: Path, steps: int | None = None) -> None:
    """Train the masked model on number words and digits, and write it to `folder`."""
    plan = CLOZE._replace(steps=steps or CLOZE.steps)
    numbers = number_words.split().train
    lines = [number_words.sentence(n, "" if at % 3 == 2 else "and") for at, n in enumerate(numbers)]
    tokenizer = _tokenizer(plan)
    torch.manual_seed(plan.seed)
    network = BertForMaskedLM(_config(tokenizer, plan))
    _train(network, _gaps(tokenizer, lines, plan), plan)
    save(network, tokenizer, folder)


def train_numkind(folder: Path, steps: int | None = None) -> None:
    """Train the classifier on number words and on what is nearly some, and write it to `folder`."""
    plan = KIND._replace(steps=steps or KIND.steps)
    tokenizer = _tokenizer(plan)
    torch.manual_seed(plan.seed)
    network = BertForSequenceClassification(_config(tokenizer, plan, number_words.KINDS))
    _train(network, _kinds(tokenizer, plan), plan)
    save(network, tokenizer, folder)


def _tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Words and digits in lower case, between the tokens that a text begins and ends with."""
    words = {word for number in range(1101) for word in number_words.sentence(number).split()}
    vocabulary = {word: at for at, word in enumerate((*SPECIAL, *sorted(words)))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL))
    ends = [(name, tokenizer.token_to_id(name)) for name in (BEGIN, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=BEGIN,
        sep_token=END,
        mask_token=MASK,
        model_max_length=plan.longest,
    )


def _config(tokenizer: PreTrainedTokenizerFast, plan: Plan, labels: Sequence[str] = ()) -> BertConfig:
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.width,
        intermediate_size=3 * plan.width,
        num_hidden_layers=plan.layers,
        num_attention_heads=4,
        max_position_embeddings=plan.longest,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        **(named if labels else {}),
    )


def _gaps(tokenizer: PreTrainedTokenizerFast, lines: list[str], plan: Plan) -> Iterator[Batch]:
    """Endless batches with a share of each line's words masked: one word, or up to two thirds."""
    rng, generator = random.Random(plan.seed), torch.Generator().manual_seed(plan.seed)
    while True:
        batch = _padded(tokenizer, rng.choices(lines, k=plan.rows))
        ids = batch["input_ids"]
        share = torch.rand(len(ids), 1, generator=generator) * 2 / 3
        chances = torch.rand(ids.shape, generator=generator)
        chances[ids < len(SPECIAL)] = 2.0
        hidden = (chances < share) | (chances == chances.min(1, keepdim=True).values)
        batch["labels"] = ids.masked_fill(~hidden, IGNORED)
        batch["input_ids"] = ids.masked_fill(hidden, int(tokenizer.mask_token_id))
        yield batch


def _kinds(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Iterator[Batch]:
    """Endless batches, each kind as frequent as the others."""
    rng = random.Random(plan.seed)
    known = number_words.spellings()
    by_kind: dict[str, list[int]] = {name: [] for name in number_words.KINDS}
    for number in number_words.split().train:
        by_kind[number_words.kind(number)].append(number)
    sizes = number_words.KINDS[:-1]
    while True:
        labels = rng.choices(range(len(number_words.KINDS)), k=plan.rows)
        texts = []
        for label in labels:
            of = number_words.KINDS[label]
            number = rng.choice(by_kind[of] or by_kind[rng.choice(sizes)])
            text = number_words.to_words(number, rng.choice(["and", ""]))
            texts.append(text if of in sizes else number_words.spoiled(text, rng, known))
        yield _padded(tokenizer, texts) | {"labels": torch.tensor(labels)}


def _padded(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Batch:
    found = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def _train(network: Any, batches: Iterator[Batch], plan: Plan) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(plan.steps))
    network.train()
    for step in range(1, plan.steps + 1):
        loss = network(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 500 == 0 or step == plan.steps:
            print(f"step {step}/{plan.steps}  loss {loss.item():.3f}", flush=True)
    network.eval()


def _rate(steps: int) -> Callable[[int], float]:
    """Warm up over the first 5 %, then follow a cosine down to zero."""
    warm = max(1, steps // 20)
    return lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))
