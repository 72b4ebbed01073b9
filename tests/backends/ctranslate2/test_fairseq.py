"""The same fairseq checkpoint on both engines gives the same answers."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repl.demo import model_path
from repl.messages import Request
from tests.backends.ctranslate2.conftest import Load
from tests.backends.ctranslate2.support import Told, ask, request, together
from tests.backends.fairseq import support as fairseq
from tests.backends.fairseq.test_languages import MARKS, write_multilingual

LINES = ["two hundred and five", "forty two", "nine thousand and one", "seven", "ninety nine"]
SHAPES = {
    "plain": ("transformer", ""),
    "norm first": ("transformer", "--encoder-normalize-before --decoder-normalize-before"),
    "learned positions": ("transformer", "--encoder-learned-pos --decoder-learned-pos"),
    "gelu": ("transformer", "--activation-fn gelu"),
    "shared embeddings": ("transformer", "--share-decoder-input-output-embed"),
    "norm after embedding": ("transformer", "--layernorm-embedding --no-scale-embedding"),
    "align": ("transformer_align", ""),
    "bart": ("bart_base", ""),
    "language model": ("transformer_lm", ""),
    "language model, norm first": ("transformer_lm", "--decoder-normalize-before"),
}

COMMON = "the word that stands for the most common token of the answers"
WISHES: dict[str, dict[str, Any]] = {
    "penalties": {"presence_penalty": 1.5, "frequency_penalty": 0.75},
    "biases": {"logit_bias": ("w5=30", "w5 w9=60", "#12=-30")},
    "bans": {"ban": (COMMON, "w9", "w1 w1"), "unkpen": 3.0},
    "stop tokens": {"stop_tokens": (COMMON, "w9"), "min_new": 2},
    "as long as the prompt": {"match_source_len": "on"},
    "typical samples": {
        "temperature": 1.4,
        "seed": 3,
        "typical_p": 0.6,
        "min_p": 0.01,
        "unkpen": 2.0,
        "frequency_penalty": 0.5,
        "logit_bias": ("w5=1",),
    },
}


@pytest.fixture(scope="module")
def demo(load: Load) -> Any:
    return load(model_path("num2digits") / "model.pt")


@pytest.fixture(scope="module")
def demo_of_fairseq() -> Any:
    return fairseq.load(model_path("num2digits") / "model.pt")


@pytest.fixture(scope="module", params=SHAPES)
def both(request: pytest.FixtureRequest, load: Load, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The engines of a random model."""
    architecture, more = SHAPES[request.param]
    path = fairseq.write_model(tmp_path_factory.mktemp("model"), architecture, more=more)
    return load(path), fairseq.load(path)


def pairs(engines: tuple[Any, Any], asked: list[Request]) -> list[tuple[Told, Told]]:
    ours, theirs = (list(map(Told, together(engine, asked))) for engine in engines)
    return list(zip(ours, theirs, strict=True))


def each(lines: list[str], **more: Any) -> list[Request]:
    return [request(line, number, **more) for number, line in enumerate(lines, 1)]


class TestRandomModels:
    def test_greedy_answers_are_equal_and_so_are_their_scores(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS)):
            count = len(ours.tokens)
            assert ours.tokens == theirs.tokens[:count] == theirs.tokens
            assert [step.raw_lp for step in ours.steps] == pytest.approx(
                [step.raw_lp for step in theirs.steps], rel=2e-5, abs=1e-4
            )

    def test_samples_of_a_seed_are_equal(self, both):
        asked = each(fairseq.PROMPTS, temperature=0.9, seed=4, n=3, top_k=8, top_p=0.95)
        for ours, theirs in pairs(both, asked):
            assert [h.text for h in ours.finished.hypotheses] == [h.text for h in theirs.finished.hypotheses]
            assert [step.proc_lp for step in ours.steps] == pytest.approx(
                [step.proc_lp for step in theirs.steps], rel=2e-5, abs=1e-4
            )

    def test_the_figures_of_each_token_are_equal(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS, logprobs=4)):
            for mine, other in zip(ours.steps, theirs.steps, strict=True):
                assert (mine.token, mine.rank, mine.piece) == (other.token, other.rank, other.piece)
                assert mine.entropy == pytest.approx(other.entropy, rel=2e-5, abs=1e-4)
                assert [token for token, _, _ in mine.top] == [token for token, _, _ in other.top]

    def test_a_scored_text_has_the_same_figures(self, both):
        asked = each(fairseq.PROMPTS, task="score", target="w3 w9 w9 w1", closing=True, logprobs=2)
        for ours, theirs in pairs(both, asked):
            assert ours.tokens == theirs.tokens
            assert all(step.forced for step in ours.steps)
            assert [step.raw_lp for step in ours.steps] == pytest.approx(
                [step.raw_lp for step in theirs.steps], rel=2e-5, abs=1e-4
            )
            assert [step.rank for step in ours.steps] == [step.rank for step in theirs.steps]
            assert ours.finished.reason == "done"

    def test_rules_and_limits_hold(self, both):
        settings = {"no_repeat_ngram": 2, "min_new": 3, "unkpen": 2.0, "max_new": 9}
        for ours, theirs in pairs(both, each(fairseq.PROMPTS, **settings)):
            assert ours.tokens == theirs.tokens
            assert ours.finished.reason == theirs.finished.reason

    @pytest.mark.parametrize("settings", WISHES.values(), ids=WISHES)
    def test_so_do_wishes_for_words(self, both, settings):
        free = [theirs.tokens for _, theirs in pairs(both, each(fairseq.PROMPTS))]
        (common, _), *_ = Counter(token for tokens in free for token in tokens if token > 3).most_common()
        settings = {
            name: tuple(f"#{common}" if word == COMMON else word for word in value)
            if isinstance(value, tuple)
            else value
            for name, value in settings.items()
        }
        changed = 0
        for plain, (ours, theirs) in zip(free, pairs(both, each(fairseq.PROMPTS, **settings)), strict=True):
            assert ours.tokens == theirs.tokens[: len(ours.tokens)]
            # A translation that fairseq ends at its own prompt's length has an end token that costs nothing.
            assert [step.search_lp for step in ours.steps] == pytest.approx(
                [step.search_lp for step in theirs.steps[: len(ours.steps)]], rel=2e-5, abs=1e-4
            )
            assert ours.text == theirs.text
            assert ours.finished.reason == theirs.finished.reason
            changed += ours.tokens != plain
        assert changed or "match_source_len" in settings

    def test_a_prescribed_beginning_is_forced_and_scored(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS, prefix="w5 w2")):
            assert ours.tokens == theirs.tokens
            assert [step.forced for step in ours.steps][:3] == [True, True, False][: len(ours.steps)]
            assert [step.raw_lp for step in ours.steps] == pytest.approx(
                [step.raw_lp for step in theirs.steps], rel=2e-5, abs=1e-4
            )

    def test_whole_distributions_are_equal(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS[:1], distributions=True)):
            for mine, other in zip(ours.steps, theirs.steps, strict=True):
                expected = np.frombuffer(other.distribution, "<f4")
                assert np.frombuffer(mine.distribution, "<f4") == pytest.approx(expected, rel=2e-5, abs=1e-4)

    def test_a_text_is_told_as_the_same_tokens(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS, task="tokenize", target="w1 nothing")):
            assert ours.finished.reading == theirs.finished.reading

    def test_what_is_said_of_the_model_is_equal(self, both):
        ours, theirs = (engine.capabilities for engine in both)
        for fact in (
            "kind",
            "max_prompt",
            "vocab_size",
            "vocab_fingerprint",
            "checkpoint_hash",
            "parameters",
        ):
            assert getattr(ours, fact) == getattr(theirs, fact)


class TestBeams:
    """On trained models: on random ones nearly all beams are cut at the limit."""

    def test_the_best_answers_of_a_translation_are_equal(self, demo, demo_of_fairseq):
        asked = each(LINES, beam=5, max_new=24, logprobs=1)
        for ours, theirs in pairs((demo, demo_of_fairseq), asked):
            mine, other = ours.finished.hypotheses[0], theirs.finished.hypotheses[0]
            assert mine.tokens == other.tokens
            assert mine.score == pytest.approx(other.score, rel=2e-5, abs=1e-4)
            assert mine.token_scores == pytest.approx(other.token_scores, rel=2e-5, abs=1e-4)
            assert ours.text == theirs.text

    @pytest.mark.parametrize(
        "settings",
        [
            {"ban": ("0", "9 9")},
            {"match_source_len": "on"},
            {"prefix": "4 4"},
            {"prefix": "1", "min_new": 4, "ban": ("1",)},
        ],
        ids=str,
    )
    def test_so_are_those_that_are_held_to_wishes(self, demo, demo_of_fairseq, settings):
        asked = each(LINES, beam=4, max_new=24, logprobs=1, **settings)
        for ours, theirs in pairs((demo, demo_of_fairseq), asked):
            assert ours.text == theirs.text
            scores = theirs.finished.hypotheses[0].token_scores
            count = len(ours.tokens) if "match_source_len" in settings else len(scores)
            assert ours.finished.hypotheses[0].token_scores == pytest.approx(
                scores[:count], rel=2e-5, abs=1e-4
            )

    @pytest.mark.parametrize("logprobs", [0, 1])
    def test_a_stop_token_ends_them(self, demo, logprobs):
        told = ask(demo, request(LINES[0], beam=4, stop_tokens=("5",), logprobs=logprobs))
        assert (told.text, told.finished.reason) == ("2 0", "stop")
        best = told.finished.hypotheses[0]
        assert [demo._reader.pieces[token] for token in best.tokens] == [b"2", b"0", b"5"]
        assert (best.text, len(best.token_scores)) == ("2 0", 3 * logprobs)

    def test_every_hypothesis_has_the_score_that_its_tokens_add_up_to(self, demo):
        found = ask(demo, request(LINES[0], beam=4, n=4, length_penalty=0.7, logprobs=1)).finished.hypotheses
        assert len(found) == 4
        for hypothesis in found:
            whole = sum(hypothesis.token_scores) / len(hypothesis.tokens) ** 0.7
            assert hypothesis.score == pytest.approx(whole, abs=1e-6)
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)

    def test_without_token_scores_the_search_tells_nearly_the_same(self, demo):
        plain, read = (
            ask(demo, request(LINES[0], beam=4, logprobs=count)).finished.hypotheses[0] for count in (0, 1)
        )
        assert plain.tokens == read.tokens
        assert plain.score == pytest.approx(read.score, rel=2e-5, abs=1e-4)
        assert plain.token_scores == ()

    def test_a_beam_that_is_cut_pays_for_its_end_as_in_fairseq(self, both):
        for ours, theirs in pairs(both, each(fairseq.PROMPTS, beam=2, max_new=4, logprobs=1)):
            if ours.finished.hypotheses[0].tokens == theirs.finished.hypotheses[0].tokens:
                scores = theirs.finished.hypotheses[0].token_scores
                assert ours.finished.hypotheses[0].token_scores == pytest.approx(scores, rel=2e-5, abs=1e-4)

    def test_it_says_that_they_are_shown_at_the_end(self, demo):
        assert "beams are shown when they are complete" in ask(demo, request("six", beam=2)).started.notes


class TestAttention:
    def test_it_is_fairseqs(self, demo, demo_of_fairseq):
        for settings in ({}, {"beam": 3}, {"temperature": 1.5, "seed": 8}):
            asked = each(LINES[:2], attention=True, max_new=24, **settings)
            for ours, theirs in pairs((demo, demo_of_fairseq), asked):
                mine, other = ours.finished.hypotheses[0], theirs.finished.hypotheses[0]
                assert mine.tokens == other.tokens
                assert np.array(mine.attention) == pytest.approx(
                    np.array(other.attention), rel=2e-5, abs=1e-4
                )
                assert mine.alignment == other.alignment


class TestWhatCannotRun:
    @pytest.mark.parametrize("architecture", ["lstm", "fconv", "lightconv", "fconv_lm"])
    def test_other_families_are_refused_by_name(self, architecture: str, load: Load, tmp_path: Path):
        from backends.base import BackendError

        path = fairseq.write_model(tmp_path, architecture)
        with pytest.raises(BackendError) as caught:
            load(path)
        assert caught.value.error.kind == "unsupported"
        assert "CTranslate2 cannot run" in caught.value.error.message
        assert "transformer_lm" in caught.value.error.hint

    def test_so_is_an_ensemble(self, load: Load, tmp_path: Path):
        from backends.base import BackendError

        first = fairseq.write_model(tmp_path)
        second = fairseq.write_model(tmp_path, seed=2, name="other.pt")
        with pytest.raises(BackendError, match="an ensemble"):
            load(f"{first}:{second}")

    @pytest.mark.parametrize("option", ["retain_dropout", "lm_path", "align_dict"])
    def test_so_is_what_only_fairseqs_search_has(self, option: str, load: Load, tmp_path: Path):
        from backends.base import BackendError

        path = fairseq.write_model(tmp_path)
        (tmp_path / "words.txt").write_text("Paris Lutetia\n")
        value = {"retain_dropout": True, "align_dict": str(tmp_path / "words.txt")}
        if option == "lm_path":
            value[option] = str(fairseq.write_model(tmp_path, "transformer_lm", name="lm.pt"))
        with pytest.raises(BackendError, match=f"configured with {option}"):
            load(path, options={option: value[option]})

    def test_so_is_a_transformer_with_parts_of_its_own(self, load: Load, tmp_path: Path):
        from backends.base import BackendError

        path = fairseq.write_model(tmp_path, more="--encoder-normalize-before")
        with pytest.raises(BackendError, match="differ in layer normalisation"):
            load(path)


class TestLanguages:
    """A model of several languages; each line may have its own."""

    @pytest.fixture(scope="class")
    def several(self, load: Load, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
        more = f"--langs aa,bb,cc {next(iter(MARKS.values()))}"
        folder = tmp_path_factory.mktemp("several")
        path = write_multilingual(folder, "translation_multi_simple_epoch", "transformer", more)
        return load(path), fairseq.load(path)

    def test_answers_are_equal_between_any_two_languages(self, several: tuple[Any, Any]):
        texts = set()
        for target in ("bb", "cc"):
            asked = each(fairseq.PROMPTS, source_lang="aa", target_lang=target)
            for ours, theirs in pairs(several, asked):
                assert ours.tokens == theirs.tokens
                assert ours.text == theirs.text
                texts.add((target, ours.text))
        assert len({text for _, text in texts}) > len(fairseq.PROMPTS) // 2

    def test_so_are_scores(self, several: tuple[Any, Any]):
        asked = each(fairseq.PROMPTS, task="score", target="w3 w9", source_lang="aa", target_lang="cc")
        for ours, theirs in pairs(several, asked):
            expected = [step.raw_lp for step in theirs.steps]
            assert [step.raw_lp for step in ours.steps] == pytest.approx(expected, rel=2e-5, abs=1e-4)
