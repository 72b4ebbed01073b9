"""The searches beyond plain beams, against fairseq's own."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    Library,
    Told,
    assert_same,
    events,
    load,
    request,
    together,
    write_model,
)

# isort: split
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from fairseq.token_generation_constraints import pack_constraints

from backends.base import BackendError
from backends.fairseq.engine import FairseqEngine
from repl.messages import Error, Failed, Request


def failure(engine: FairseqEngine, asked: Request) -> Error:
    *_, last = events(engine, asked)
    assert isinstance(last, Failed)
    assert last.error.hint
    return last.error


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({"beam": 4, "diverse_groups": 2}, {"beam": 4, "diverse_beam_groups": 2}),
        (
            {"beam": 6, "diverse_groups": 3, "diverse_strength": 1.5},
            {"beam": 6, "diverse_beam_groups": 3, "diverse_beam_strength": 1.5},
        ),
        ({"beam": 4, "diversity_rate": 0.7}, {"beam": 4, "diversity_rate": 0.7}),
        ({"beam": 3, "match_source_len": "on"}, {"beam": 3, "match_source_len": True}),
        ({"match_source_len": "on"}, {"beam": 1, "match_source_len": True}),
        (
            {"beam": 3, "max_new": 1, "max_new_ratio": 1.5},
            {"beam": 3, "max_len_b": 1, "max_len_a": 1.5},
        ),
    ],
    ids=str,
)
def test_searches_are_fairseqs_own(
    engine: FairseqEngine, library: Library, params: dict[str, Any], settings: dict[str, Any]
) -> None:
    number = params.get("beam", 1)
    requests = [request(p, number=i, n=number, **params) for i, p in enumerate(PROMPTS)]
    batched = together(engine, requests)
    for prompt, asked, among in zip(PROMPTS, requests, batched, strict=True):
        told = Told(engine, asked)
        assert_same(told, library.generate(prompt, **{"max_len_b": 12, **settings})[0])
        hypotheses = Told.of(among).finished.hypotheses
        assert [h.tokens for h in hypotheses] == [h.tokens for h in told.finished.hypotheses]
        plain = Told(engine, request(prompt, beam=number, n=number)).finished.hypotheses
        if number > 3:
            assert [h.tokens for h in plain] != [h.tokens for h in hypotheses]


def test_an_answer_as_long_as_its_prompt(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for prompt in PROMPTS:
        told = Told(engine, request(prompt, match_source_len="on", max_new=1, min_new=9, logprobs=1))
        size = len(prompt.split())
        assert len(told.finished.hypotheses[0].tokens) == size + 1
        assert told.finished.hypotheses[0].token_scores[-1] == 0
    assert (
        "no effect on a language model"
        in Told(causal, request(FIRST, match_source_len="on")).started.notes[0]
    )


def test_a_limit_that_grows_with_the_prompt_is_each_prompts_own(engine: FairseqEngine) -> None:
    limits = [1 + int(0.5 * (len(prompt.split()) + 1)) for prompt in PROMPTS]
    requests = [
        request(prompt, number=place, max_new=1, max_new_ratio=0.5, min_new=limit)
        for place, (prompt, limit) in enumerate(zip(PROMPTS, limits, strict=True))
    ]
    lengths = [len(Told.of(heard).tokens) for heard in together(engine, requests)]
    assert lengths == limits


# -- constraints -------------------------------------------------------------------------------------------


def constrained(library: Library, prompt: str, phrases: list[str], order: str, beam: int) -> list[Any]:
    """By fairseq's task, as ``fairseq-interactive --constraints`` calls it."""
    from argparse import Namespace

    ids = library.task.source_dictionary.encode_line(prompt, add_if_not_exist=False).long()[None]
    dictionary = library.task.target_dictionary
    encoded = [dictionary.encode_line(phrase, append_eos=False, add_if_not_exist=False) for phrase in phrases]
    generator = library.task.build_generator(
        library.networks, Namespace(beam=beam, max_len_b=12, constraints=order)
    )
    sample = {
        "net_input": {"src_tokens": ids, "src_lengths": torch.tensor([ids.shape[1]])},
    }
    found: list[list[Any]] = library.task.inference_step(
        generator, library.networks, sample, constraints=pack_constraints([encoded])
    )
    return found[0]


@pytest.mark.parametrize("order", ["ordered", "unordered"])
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("phrases", [["w3"], ["w9 w2", "w5"], ["w1 w1 w1", "w0", "w8 w8"]], ids=str)
def test_constraints_are_held_as_fairseq_holds_them(
    engine: FairseqEngine, library: Library, order: str, beam: int, phrases: list[str]
) -> None:
    for prompt in PROMPTS[:2]:
        asked = request(prompt, beam=beam, n=beam, constraints=tuple(phrases), constraint_order=order)
        told = Told(engine, asked)
        assert_same(told, constrained(library, prompt, phrases, order, beam))
        text = f" {told.finished.text} "
        assert all(f" {phrase} " in text for phrase in phrases)


def test_lines_with_different_constraints_are_generated_together(engine: FairseqEngine) -> None:
    phrases: list[tuple[str, ...]] = [("w3",), ("w9 w2", "w5"), ("w0",), ("w7 w7",)]
    requests = [
        request(prompt, number=place, beam=4, n=2, constraints=held)
        for place, (prompt, held) in enumerate(zip(PROMPTS, phrases, strict=True))
    ]
    alone = [Told(engine, asked).finished for asked in requests]
    for heard, its in zip(together(engine, requests), alone, strict=True):
        ours = Told.of(heard).finished
        assert ours.batch > its.batch
        assert [h.tokens for h in ours.hypotheses] == [h.tokens for h in its.hypotheses]


def test_what_contradicts_is_named(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for params, said in (
        ({"beam": 4, "diverse_groups": 3}, "not a multiple of diverse_groups = 3"),
        ({"beam": 4, "diverse_groups": 2, "diversity_rate": 1.0}, "diverse_groups and diversity_rate"),
        ({"beam": 4, "diverse_groups": 2, "constraints": ("w1",)}, "diverse_groups and constraints"),
        ({"temperature": 1.0, "constraints": ("w1",)}, "drawn"),
        ({"max_new": 2, "constraints": ("w1 w2 w3 w4",)}, "forbid every token"),
    ):
        error = failure(engine, request(FIRST, **params))
        assert error.kind == "bad_parameter" and said in error.message
    assert "only translations" in failure(causal, request(FIRST, constraints=("w1",))).message
    assert Told(engine, request(FIRST)).finished.text
    notes = Told(engine, request(FIRST, diverse_groups=2, diversity_rate=0.5)).started.notes
    assert notes == ("diverse_groups: no effect without beams", "diversity_rate: no effect without beams")
    assert "Paris" in Told(engine, request(FIRST, beam=2, constraints=("Paris",))).started.notes[0]


@pytest.mark.parametrize(
    "params", [{"diverse_groups": 5}, {"diversity_rate": 0.5}, {"constraints": ("w1",)}], ids=str
)
def test_more_beams_than_the_dictionary_allows_are_narrowed(
    engine: FairseqEngine, params: dict[str, Any]
) -> None:
    told = Told(engine, request(FIRST, beam=50, **params))
    assert any("the dictionary has 24 symbols" in note for note in told.started.notes)
    assert told.finished.hypotheses


# -- unknown words -----------------------------------------------------------------------------------------


def test_unknown_words_are_those_they_attend_to(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    decoder = load(path)._model.networks[0].decoder
    assert decoder.output_projection.weight.shape[0] == 24
    plain = load(path)
    (tmp_path / "words.txt").write_text("Paris Lutetia\n")
    helped = load(path, options={"align_dict": str(tmp_path / "words.txt")})
    line = "w3 Paris w9 Rome"
    asked = msgspec.structs.replace(request(line, beam=3, n=3, unkpen=-30.0), prefix_ids=(7, 3, 3))
    without = Told(plain, asked).finished.hypotheses
    with_words = msgspec.structs.replace(
        asked, params=msgspec.structs.replace(asked.params, replace_unk="on")
    )
    for engine, names in ((plain, {}), (helped, {"Paris": "Lutetia"})):
        told = Told(engine, with_words)
        for before, after in zip(without, told.finished.hypotheses, strict=True):
            attended = {target_at: source_at for source_at, target_at in before.alignment}
            wanted = [
                word
                if word != "<unk>"
                else names.get(line.split()[attended[place]], line.split()[attended[place]])
                for place, word in enumerate(before.text.split())
            ]
            assert "<unk>" in before.text and after.text.split() == wanted
            assert after.tokens == before.tokens and after.score == pytest.approx(before.score)
        assert told.text == told.finished.text


@pytest.mark.parametrize(("text", "said"), [("a b\nc\n", "line 2: 1 words"), (None, "cannot be read")])
def test_a_wrong_dictionary_of_words_is_named(
    translation: Path, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "words.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BackendError, match=said):
        load(translation, options={"align_dict": str(path)})
