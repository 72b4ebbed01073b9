"""What the tests of this folder share."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.sequence_scorer import SequenceScorer
from omegaconf import OmegaConf

from backends.fairseq import Fairseq
from backends.fairseq.engine import FairseqEngine
from repl.messages import Event, Failed, Finished, ModelSpec, Request, Rewound, Started, Step
from repl.params import Params

SYMBOLS = [f"w{i}" for i in range(20)]
PROMPTS = ["w1 w2 w3", "w7", "w4 w4 w19 w0 w11 w3", "w12 w13"]
FIRST = PROMPTS[0]
TARGET = "w3 w9 w3 w0 w11"
"""A text to score."""

_LAYERS = "--encoder-layers 1 --decoder-layers 1 --encoder-ffn-embed-dim 32 --decoder-ffn-embed-dim 32"
_HEADS = "--encoder-attention-heads 2 --decoder-attention-heads 2"
_WIDTH = "--encoder-embed-dim 16 --decoder-embed-dim 16"
_POSITIONS = "--max-source-positions 24 --max-target-positions 24"
_LM = "--decoder-embed-dim 16 --tokens-per-sample 24"
_CONVOLUTIONS = "--encoder-layers [(16,3)]*2 --decoder-layers [(16,3)]*2 --decoder-out-embed-dim 16"
_HIDDEN = "--encoder-hidden-size 16 --decoder-hidden-size 16 --decoder-out-embed-dim 16"
_KERNELS = "--encoder-kernel-size-list [3] --decoder-kernel-size-list [3]"

SMALL = {
    "transformer": f"{_WIDTH} {_LAYERS} {_HEADS} {_POSITIONS}",
    "transformer_align": f"{_WIDTH} {_LAYERS} {_HEADS} {_POSITIONS}",
    "bart_base": f"{_WIDTH} {_LAYERS} {_HEADS} {_POSITIONS}",
    "fconv": f"{_WIDTH} {_CONVOLUTIONS} {_POSITIONS}",
    "lstm": f"{_WIDTH} {_HIDDEN}",
    "lightconv": f"{_WIDTH} {_LAYERS} {_HEADS} {_POSITIONS} {_KERNELS} "
    "--encoder-conv-dim 16 --decoder-conv-dim 16",
    "transformer_lm": f"{_LM} --decoder-layers 1 --decoder-ffn-embed-dim 32 --decoder-attention-heads 2",
    "fconv_lm": f"{_LM} --decoder-layers [(16,3)]*2",
}
"""Each supported family at its smallest."""


def write_dictionary(path: Path, symbols: list[str]) -> None:
    path.write_text("".join(f"{symbol} 1\n" for symbol in symbols), encoding="utf-8")


def write_model(
    folder: Path,
    architecture: str = "transformer",
    seed: int = 1,
    style: str = "cfg",
    name: str = "model.pt",
    symbols: list[str] = SYMBOLS,
    more: str = "",
    scale: float = 2.5,
) -> Path:
    """A model with random weights, built and saved as fairseq does; the weights are large, so that it has
    something to say."""
    folder.mkdir(exist_ok=True, parents=True)
    causal = architecture.endswith("_lm")
    for file in ["dict.txt"] if causal else ["dict.src.txt", "dict.tgt.txt"]:
        write_dictionary(folder / file, symbols)
    languages = [] if causal else ["--source-lang", "src", "--target-lang", "tgt"]
    task = "language_modeling" if causal else "translation"
    arguments = [str(folder), "--task", task, "--arch", architecture, *languages, "--cpu"]
    arguments += [*SMALL[architecture].split(), *more.split()]
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hydra's and torch's, about fairseq
        args = options.parse_args_and_arch(options.get_training_parser(), arguments)
        config = convert_namespace_to_omegaconf(args)
        network = tasks.setup_task(config.task).build_model(config.model)
        weights = network.state_dict()
    for weight in weights.values():
        weight.mul_(scale)
    return save(folder / name, weights, args if style == "args" else config)


def save(path: Path, weights: dict[str, Any], config: Any) -> Path:
    """A checkpoint as ``fairseq-train`` leaves it, in either of the two styles."""
    state: dict[str, Any] = {
        "args": config if isinstance(config, Namespace) else None,
        "cfg": None if isinstance(config, Namespace) else OmegaConf.to_container(config, enum_to_str=True),
        "model": weights,
        "optimizer_history": [
            {"criterion_name": "C", "optimizer_name": "O", "lr_scheduler_state": {}, "num_updates": 1}
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    torch.save(state, path)
    return path


def spec(path: Path | str, **more: Any) -> ModelSpec:
    return ModelSpec(name="tiny", backend="fairseq", path=str(path), **more)


def load(path: Path | str, **more: Any) -> FairseqEngine:
    engine = Fairseq.load(spec(path, **more), "cpu", 1, lambda stage, fraction: None)
    assert isinstance(engine, FairseqEngine)
    return engine


def request(prompt: str, number: int = 1, prefix: str = "", sample: int = 0, **params: Any) -> Request:
    params = {"max_new": 12, **params}
    return Request(
        id=number, model="tiny", prompt=prompt, prefix=prefix, sample=sample, params=Params(**params)
    )


def scored(prompt: str = FIRST, target: str = TARGET, number: int = 1, **more: Any) -> Request:
    params = more.pop("params", {})
    plain = request(prompt, number=number, **params)
    return msgspec.structs.replace(plain, task="score", target=target, **more)


def ids(text: str) -> list[int]:
    return [4 + int(word[1:]) for word in text.split()]


def events(engine: FairseqEngine, asked: Request) -> Iterator[Event]:
    """All events of a request, the terminal one last."""
    engine.admit(asked)
    while True:
        for event in engine.step():
            assert event.id == asked.id
            yield event
            if isinstance(event, Finished | Failed):
                return


def together(engine: FairseqEngine, asked: list[Request]) -> list[list[Event]]:
    """The events of each of several requests that are there at once."""
    heard: dict[int, list[Event]] = {one.id: [] for one in asked}
    for one in asked:
        engine.admit(one)
    while not all(told and isinstance(told[-1], Finished | Failed) for told in heard.values()):
        for event in engine.step():
            heard[event.id].append(event)
    return list(heard.values())


class Told:
    """An answer put together as a front end does; checks the order of events on the way."""

    def __init__(self, engine: FairseqEngine, asked: Request) -> None:
        self._hear(list(events(engine, asked)))

    @classmethod
    def of(cls, heard: list[Event]) -> "Told":
        """From events that have come already."""
        told = cls.__new__(cls)
        told._hear(heard)
        return told

    def _hear(self, heard: list[Event]) -> None:
        self.steps: list[Step] = []
        self.rewound = 0
        first, *rest, last = heard
        assert isinstance(first, Started), first
        assert isinstance(last, Finished), last
        self.started, self.finished = first, last
        for event in rest:
            if isinstance(event, Rewound):
                assert 0 <= event.keep < len(self.steps)
                self.rewound += 1
                del self.steps[event.keep :]
            else:
                assert isinstance(event, Step)
                assert event.index == len(self.steps)
                self.steps.append(event)
        if last.reason != "stop":
            assert self.text == last.text

    @property
    def text(self) -> str:
        return "".join(step.text for step in self.steps)

    @property
    def tokens(self) -> list[int]:
        return [step.token for step in self.steps]


class Library:
    """The same checkpoints through fairseq alone: loaded and called as ``fairseq-generate`` does."""

    def __init__(self, *paths: Path, data: Path | None = None) -> None:
        folder = str(data or paths[0].parent)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = checkpoint_utils.load_model_ensemble_and_task(list(map(str, paths)), {"data": folder})
        self.networks, self.config, self.task = loaded
        for network in self.networks:
            network.eval()

    def generate(self, prompt: str, prefix: str = "", search: Any = None, **settings: Any) -> list[list[Any]]:
        """Hypotheses for each sentence; ``rows`` copies of the prompt."""
        rows = settings.pop("rows", 1)
        causal = not hasattr(self.networks[0], "encoder")
        source, target = self.task.source_dictionary, self.task.target_dictionary
        ids = source.encode_line(prompt, add_if_not_exist=False, append_eos=not causal).long()
        forced = target.encode_line(prefix, add_if_not_exist=False, append_eos=False).long()
        begin = torch.cat([ids, forced]) if causal else forced
        generator = self.task.build_generator(self.networks, Namespace(**settings))
        if search is not None:
            generator.search = search
        sample = {
            "id": torch.arange(rows),
            "net_input": {
                "src_tokens": ids.repeat(rows, 1),
                "src_lengths": torch.full((rows,), ids.numel()),
            },
        }
        prefix_tokens = begin.repeat(rows, 1) if begin.numel() else None
        found: list[list[Any]] = self.task.inference_step(
            generator, self.networks, sample, prefix_tokens=prefix_tokens
        )
        return found


def assert_same(told: Told, found: list[dict[str, Any]], skip: int = 0) -> None:
    """The n-best lists agree, and so do the steps with the best."""
    hypotheses = told.finished.hypotheses
    assert [list(h.tokens) for h in hypotheses] == [f["tokens"][skip:].tolist() for f in found]
    assert [h.score for h in hypotheses] == pytest.approx([float(f["score"]) for f in found], abs=1e-5)
    for hypothesis, f in zip(hypotheses, found, strict=True):
        scores = f["positional_scores"][skip:].tolist()
        assert list(hypothesis.token_scores) == pytest.approx(scores, abs=1e-5)
    best = hypotheses[0]
    assert told.tokens == list(best.tokens[: len(told.steps)])
    assert len(told.tokens) >= len(best.tokens) - 1
    assert [step.search_lp for step in told.steps] == pytest.approx(
        best.token_scores[: len(told.steps)], abs=1e-5
    )


def by_scorer(library: Library, prompt: str, target: list[int]) -> list[float]:
    """What fairseq's own scorer gives each token."""
    source = library.task.source_dictionary.encode_line(prompt, add_if_not_exist=False).long()[None]
    sample = {
        "net_input": {
            "src_tokens": source,
            "src_lengths": torch.tensor([source.shape[1]]),
            "prev_output_tokens": torch.tensor([[2, *target[:-1]]]),
        },
        "target": torch.tensor([target]),
    }
    ((found,),) = SequenceScorer(library.task.target_dictionary).generate(library.networks, sample)
    assert found["tokens"].tolist() == target
    scores: list[float] = found["positional_scores"].tolist()
    return scores
