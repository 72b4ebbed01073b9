"""Models of several languages, against fairseq's own tasks for each pair."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SMALL,
    SYMBOLS,
    Told,
    assert_same,
    events,
    load,
    request,
    save,
    together,
    write_dictionary,
)

# isort: split
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from backends.fairseq.engine import FairseqEngine
from repl.messages import Failed, Hypothesis

LANGUAGES = ("aa", "bb", "cc")
PAIRS = [("aa", "bb"), ("bb", "cc"), ("cc", "cc")]
MARKS = {
    "both": "--encoder-langtok src --decoder-langtok",
    "target before the source": "--encoder-langtok tgt",
    "in the place of end tokens": "--encoder-langtok tgt --decoder-langtok --lang-tok-replacing-bos-eos",
    "none": "",
}


def write_multilingual(folder: Path, task: str, architecture: str, more: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for language in LANGUAGES:
        write_dictionary(folder / f"dict.{language}.txt", SYMBOLS)
    arguments = [str(folder), "--task", task, "--arch", architecture, "--lang-pairs", "aa-bb,bb-cc,cc-cc"]
    arguments += [*SMALL["transformer"].split(), *more.split(), "--cpu"]
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = options.parse_args_and_arch(options.get_training_parser(), arguments)
        config = convert_namespace_to_omegaconf(args)
        weights = tasks.setup_task(config.task).build_model(config.model).state_dict()
    for weight in weights.values():
        weight.mul_(2.5)
    return save(folder / "model.pt", weights, args)


class Upstream:
    """One pair of languages in fairseq alone, as ``fairseq-interactive -s -t`` sets it up."""

    def __init__(self, path: Path, source: str, target: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.networks, _, self.task = checkpoint_utils.load_model_ensemble_and_task(
                [str(path)], {"data": str(path.parent), "source_lang": source, "target_lang": target}
            )
        for network in self.networks:
            network.eval()

    def answer(self, prompt: str, **settings: Any) -> tuple[list[Any], list[int]]:
        """The hypotheses, and what the encoder read."""
        ids = self.task.source_dictionary.encode_line(prompt, add_if_not_exist=False).long()
        dataset = self.task.build_dataset_for_inference([ids], [len(ids)])
        sample = dataset.collater([dataset[0]])
        generator = self.task.build_generator(self.networks, Namespace(**settings))
        found = self.task.inference_step(generator, self.networks, sample)[0]
        return found, sample["net_input"]["src_tokens"][0].tolist()


@pytest.fixture(scope="module", params=MARKS)
def several(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    return write_multilingual(
        folder, "translation_multi_simple_epoch", "transformer", "--langs aa,bb,cc " + MARKS[request.param]
    )


def test_each_line_may_have_languages_of_its_own(several: Path) -> None:
    engine = load(several)
    requests = [
        request(prompt, number=place, beam=3, n=3, logprobs=2, source_lang=source, target_lang=target)
        for place, (prompt, (source, target)) in enumerate(zip(PROMPTS * 2, PAIRS * 2, strict=False))
    ]
    for asked, heard in zip(requests, together(engine, requests), strict=True):
        languages = asked.params.source_lang, asked.params.target_lang
        assert None not in languages
        found, read = Upstream(several, *languages).answer(asked.prompt, beam=3, max_len_b=12)
        told = Told(engine, asked)
        assert list(told.started.prompt_ids) == read
        assert_same(told, found)
        assert all(not symbol.startswith("__") for symbol in told.finished.text.split())
        among = Told.of(heard).finished.hypotheses
        assert [h.tokens for h in among] == [h.tokens for h in told.finished.hypotheses]


def test_a_model_is_loaded_for_a_pair_and_begins_with_its_first(several: Path) -> None:
    first, other = load(several), load(several, options={"source_lang": "cc", "target_lang": "cc"})

    def best(engine: FairseqEngine, **params: Any) -> Hypothesis:
        return Told(engine, request(FIRST, **params)).finished.hypotheses[0]

    assert best(first).tokens == best(first, source_lang="aa", target_lang="bb").tokens
    assert best(other).tokens == best(first, source_lang="cc", target_lang="cc").tokens


def test_a_scored_answer_has_the_scores_it_was_given(several: Path) -> None:
    engine = load(several)
    asked = request(FIRST, source_lang="bb", target_lang="cc")
    told = Told(engine, asked)
    again = Told(engine, msgspec.structs.replace(asked, task="score", target_ids=tuple(told.tokens)))
    assert again.tokens == told.tokens
    assert [s.raw_lp for s in again.steps] == pytest.approx([s.raw_lp for s in told.steps], abs=1e-4)
    opens = engine._model.routes.find("bb", "cc").opens
    ids = (*opens, 7, 13)
    by_text, by_ids = (
        Told(engine, msgspec.structs.replace(asked, task="score", closing=True, **target)).steps
        for target in ({"target": "w3 w9"}, {"target_ids": ids})
    )
    assert [s.token for s in by_text] == [7, 13, 2]
    assert [s.raw_lp for s in by_text] == [s.raw_lp for s in by_ids[len(opens) :]]
    branch = Told(engine, msgspec.structs.replace(asked, prefix_ids=tuple(told.tokens[:3])))
    assert branch.tokens == told.tokens


def test_a_language_it_does_not_know_is_named(several: Path, engine: FairseqEngine) -> None:
    for model, params, said in (
        (load(several), {"target_lang": "xx"}, "does not know the language 'xx'"),
        (engine, {"target_lang": "xx"}, "this model knows only src to tgt"),
    ):
        *_, last = events(model, request(FIRST, **params))
        assert isinstance(last, Failed)
        assert last.error.kind == "bad_parameter" and said in last.error.message
    assert Told(engine, request(FIRST, source_lang="src", target_lang="tgt")).finished.text


@pytest.mark.parametrize("marks", ["", "--encoder-langtok tgt --decoder-langtok"], ids=["none", "both"])
def test_a_network_for_each_pair_is_loaded_for_one(tmp_path: Path, marks: str) -> None:
    path = write_multilingual(
        tmp_path,
        "multilingual_translation",
        "multilingual_transformer",
        f"{marks} --share-decoders --share-decoder-input-output-embed --share-encoders",
    )
    for source, target in PAIRS[:2]:
        engine = load(path, options={"source_lang": source, "target_lang": target})
        upstream = Upstream(path, source, target)
        for prompt in PROMPTS:
            told = Told(engine, request(prompt, beam=3, n=3))
            ids = upstream.task.source_dictionary.encode_line(prompt, add_if_not_exist=False).long()
            if marks:
                ids[-1] = upstream.task.get_encoder_langtok(source, target)
            assert list(told.started.prompt_ids) == ids.tolist()
            sample = {"net_input": {"src_tokens": ids[None], "src_lengths": torch.tensor([len(ids)])}}
            generator = upstream.task.build_generator(upstream.networks, Namespace(beam=3, max_len_b=12))
            assert_same(told, upstream.task.inference_step(generator, upstream.networks, sample)[0])
