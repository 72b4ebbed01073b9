"""Measure the demo models as they lie in the package: `python -m repl.demo.evaluate [NAME ...]`.

The language models are measured by their loss on docstrings of modules that were held out of the training,
the fairseq models by exact match on held-out numbers and on small and round ones, decoded by fairseq's
own generator, the encoders by what they say of held-out numbers. No code of this package that answers takes
part, so that its figures can be held against these.
"""

import argparse
import math
import random
from argparse import Namespace
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from repl.demo import MODELS, corpus, model_path, number_words

_BATCH = 128


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line of figures for each model that is named, or for all."""
    parser = argparse.ArgumentParser(
        prog="python -m repl.demo.evaluate", description="Measure the demo models."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(MODELS)}; all by default"
    )
    names = parser.parse_args(arguments).names
    for name in names or MODELS:
        model_path(name)
        figures = MEASURES.get(name, measure_numbers)(name)
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)


def measure_lm(name: str) -> dict[str, str]:
    """Held-out loss of a language model: nats for each token, perplexity, and bits for each byte of text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = model_path(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = corpus.split(corpus.documents()).held_out
    nats, tokens = 0.0, 0
    for text in texts:
        ids = torch.tensor([*tokenizer.backend_tokenizer.encode(text).ids, tokenizer.eos_token_id])
        for start in range(0, len(ids) - 1, model.config.max_position_embeddings):
            window = ids[start : start + model.config.max_position_embeddings + 1]
            with torch.no_grad():
                logits = model(input_ids=window[None, :-1]).logits[0]
            nats += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
            tokens += len(window) - 1
    size = sum(len(text.encode()) for text in texts)
    return {
        "held-out loss": f"{nats / tokens:.3f} nats/token",
        "perplexity": f"{math.exp(nats / tokens):.1f}",
        "bits/byte": f"{nats / math.log(2) / size:.3f}",
        "tokens": f"{tokens}",
        "text": corpus.digest(texts),
    }


def measure_numbers(name: str) -> dict[str, str]:
    """Exact match of a fairseq model on held-out numbers, on all below 1000 and on round ones."""
    decode = _Decoder(name)
    small = range(1000)
    sets = {
        "held-out": (number_words.split().test, "and"),
        "0 to 999": (small, "and"),
        '0 to 999 without "and"': (small, ""),
        "multiples of 100": (range(0, number_words.LIMIT, 100), "and"),
    }
    figures = {}
    for title, (numbers, joiner) in sets.items():
        answers = decode([number_words.to_words(number, joiner) for number in numbers])
        right = sum(
            answer == number_words.to_digits(number) for answer, number in zip(answers, numbers, strict=True)
        )
        figures[title] = f"{right}/{len(answers)}"
    return figures


def measure_cloze(name: str) -> dict[str, str]:
    """Share of held-out lines in which the masked model restores one word, the first digit, all digits."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path(name))
    model = AutoModelForMaskedLM.from_pretrained(model_path(name), dtype=torch.float32).eval()
    lines = [number_words.sentence(number).split() for number in number_words.split().test]
    gaps = {
        "each word": [(line, [at]) for line in lines for at in range(line.index("is"))],
        "each digit": [(line, [at]) for line in lines for at in range(line.index("is") + 1, len(line))],
        "all digits": [(line, list(range(line.index("is") + 1, len(line)))) for line in lines],
    }
    figures = {}
    for title, asked in gaps.items():
        right = 0
        for start in range(0, len(asked), _BATCH):
            part = asked[start : start + _BATCH]
            texts = [
                " ".join(tokenizer.mask_token if at in hidden else word for at, word in enumerate(line))
                for line, hidden in part
            ]
            batch = tokenizer(texts, padding=True, return_tensors="pt")
            with torch.no_grad():
                best = model(**batch).logits.argmax(-1)
            for row, (line, hidden) in enumerate(part):
                wanted = tokenizer.convert_tokens_to_ids([line[at] for at in hidden])
                right += [int(best[row, at + 1]) for at in hidden] == wanted
        figures[title] = f"{right}/{len(asked)}"
    return figures


def measure_kind(name: str) -> dict[str, str]:
    """Share of held-out, small and spoiled numbers that the classifier knows for what they are."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path(name))
    model = AutoModelForSequenceClassification.from_pretrained(model_path(name), dtype=torch.float32).eval()
    rng, known = random.Random(1), number_words.spellings()
    held_out, small = number_words.split().test, range(1000)
    spelled = {"held-out": held_out, "0 to 999": small}
    sets = {
        title: [(number_words.to_words(n), number_words.kind(n)) for n in numbers]
        for title, numbers in spelled.items()
    }
    for title, numbers in spelled.items():
        texts = [number_words.spoiled(number_words.to_words(n), rng, known) for n in numbers]
        sets[f"{title}, spoiled"] = [(text, number_words.KINDS[-1]) for text in texts]
    figures = {}
    for title, examples in sets.items():
        right = 0
        for start in range(0, len(examples), _BATCH):
            part = examples[start : start + _BATCH]
            batch = tokenizer([text for text, _ in part], padding=True, return_tensors="pt")
            with torch.no_grad():
                best = model(**batch).logits.argmax(-1).tolist()
            right += sum(model.config.id2label[at] == kind for at, (_, kind) in zip(best, part, strict=True))
        figures[title] = f"{right}/{len(examples)}"
    return figures


MEASURES = {
    "lm-early": measure_lm,
    "lm-late": measure_lm,
    "numcloze": measure_cloze,
    "numkind": measure_kind,
}
"""The others are measured by ``measure_numbers``."""


class _Decoder:
    """A fairseq model with its generator: beam 5 for the translation model, greedy for the language model."""

    def __init__(self, name: str) -> None:
        from backends.fairseq import compat

        compat.load()
        from fairseq.checkpoint_utils import load_model_ensemble_and_task

        folder = model_path(name)
        self.is_lm = name == "numlm"
        models, _, self.task = load_model_ensemble_and_task(
            [str(folder / "model.pt")], arg_overrides={"data": str(folder)}
        )
        self.models = [model.eval() for model in models]
        settings = Namespace(beam=1 if self.is_lm else 5, max_len_a=0, max_len_b=40)
        self.generator = self.task.build_generator(self.models, settings)

    def __call__(self, lines: list[str]) -> list[str]:
        """What the model makes of each line; lines of one length share a batch, so that none is padded."""
        prompts = [f"{line} is" if self.is_lm else line for line in lines]
        groups: dict[int, list[int]] = defaultdict(list)
        for place, prompt in enumerate(prompts):
            groups[len(prompt.split())].append(place)
        answers = [""] * len(lines)
        for places in groups.values():
            for start in range(0, len(places), _BATCH):
                chosen = places[start : start + _BATCH]
                for place, answer in zip(chosen, self._batch([prompts[p] for p in chosen]), strict=True):
                    answers[place] = answer
        return answers

    def _batch(self, prompts: list[str]) -> list[str]:
        import torch

        source, target = self.task.source_dictionary, self.task.target_dictionary
        rows = [
            source.encode_line(p, add_if_not_exist=False, append_eos=not self.is_lm).long() for p in prompts
        ]
        tokens = torch.stack(rows)
        lengths = torch.full((len(rows),), tokens.size(1))
        sample: dict[str, Any] = {"id": torch.arange(len(rows))}
        sample["net_input"] = {"src_tokens": tokens, "src_lengths": lengths}
        found = self.task.inference_step(self.generator, self.models, sample)
        skipped = tokens.size(1) if self.is_lm else 0
        return [target.string(hypotheses[0]["tokens"][skipped:]) for hypotheses in found]


if __name__ == "__main__":
    main()
