"""What the options of a model add to it, against fairseq with the same."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SYMBOLS,
    Library,
    Told,
    assert_same,
    load,
    request,
    together,
    write_model,
)

# isort: split
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from backends import fingerprint
from backends.base import BackendError
from backends.fairseq.engine import FairseqEngine
from repl.messages import Error, ModelSpec
from tests.backends.fairseq.test_figures import full_pass

# -- a language model's say --------------------------------------------------------------------------------


def fused(library: Library, other: Library, weight: float, prompt: str, beam: int) -> list[Any]:
    """As ``fairseq-generate --lm-path`` sets the generator up; ``fairseq-interactive`` forgets to."""
    ids = library.task.source_dictionary.encode_line(prompt, add_if_not_exist=False).long()[None]
    generator = library.task.build_generator(
        library.networks,
        Namespace(beam=beam, max_len_b=12),
        extra_gen_cls_kwargs={"lm_model": other.networks[0], "lm_weight": weight},
    )
    sample = {"net_input": {"src_tokens": ids, "src_lengths": torch.tensor([ids.shape[1]])}}
    found: list[list[Any]] = library.task.inference_step(generator, library.networks, sample)
    return found[0]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_language_model_has_its_say(
    translation: Path, language_model: Path, library: Library, causal_library: Library, beam: int
) -> None:
    engine = load(translation, options={"lm_path": str(language_model), "lm_weight": 0.8})
    assert "a language model has a say of 0.8" in engine.capabilities.notes
    requests = [request(prompt, number=i, beam=beam, n=beam, logprobs=1) for i, prompt in enumerate(PROMPTS)]
    for prompt, asked, heard in zip(PROMPTS, requests, together(engine, requests), strict=True):
        found = fused(library, causal_library, 0.8, prompt, beam)
        told = Told(engine, asked)
        assert_same(told, found)
        assert [list(h.tokens) for h in Told.of(heard).finished.hypotheses] == [
            f["tokens"].tolist() for f in found
        ]
        raw = full_pass(library, prompt, told.tokens)
        assert [s.raw_lp for s in told.steps] == pytest.approx(
            [float(row[s.token]) for s, row in zip(told.steps, raw, strict=True)], abs=1e-4
        )
        scored = msgspec.structs.replace(asked, task="score", target_ids=tuple(told.tokens))
        again = Told(engine, scored).steps
        assert [s.search_lp for s in again] == pytest.approx([s.search_lp for s in told.steps], abs=1e-4)
    assert Told(engine, request(FIRST)).tokens != Told(load(translation), request(FIRST)).tokens


def refused(path: Path, **more: Any) -> Error:
    with pytest.raises(BackendError) as caught:
        load(path, **more)
    assert caught.value.error.hint
    return caught.value.error


def test_a_language_model_that_does_not_fit_is_refused(translation: Path, tmp_path: Path) -> None:
    def error(path: Path) -> Error:
        return refused(translation, options={"lm_path": str(path)})

    assert "does not exist" in error(tmp_path / "no.pt").message
    mixed = write_model(tmp_path / "mt")
    (mixed.parent / "dict.txt").write_text("")
    assert "task 'translation'" in error(mixed).message
    reordered = write_model(tmp_path / "lm", "transformer_lm", symbols=SYMBOLS[::-1])
    assert "another dictionary" in error(reordered).message


# -- dropout -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("dropping"), more="--dropout 0.4 --attention-dropout 0.3")


def with_dropout(path: Path, modules: list[str] | None = None) -> Library:
    library = Library(path)
    for network in library.networks:
        settings = Namespace(no_beamable_mm=True, retain_dropout=True, retain_dropout_modules=modules, beam=1)
        network.prepare_for_inference_(Namespace(generation=settings))
    return library


@pytest.mark.parametrize("modules", [None, ["TransformerDecoderLayerBase"]])
def test_dropout_that_stays_on_is_fairseqs_for_the_same_seed(
    dropping: Path, modules: list[str] | None
) -> None:
    engine = load(dropping, options={"retain_dropout": True, "retain_dropout_modules": modules})
    assert "dropout is on" in engine.capabilities.notes[0]
    library = with_dropout(dropping, modules)
    answers = set()
    for seed in range(4):
        told = Told(engine, request(FIRST, beam=3, n=3, seed=seed))
        torch.manual_seed(seed)
        assert_same(told, library.generate(FIRST, beam=3, max_len_b=12)[0])
        answers.add(told.finished.hypotheses[0].score)
    assert len(answers) == 4


def test_an_answer_with_dropout_is_its_own_whoever_draws_beside_it(dropping: Path) -> None:
    engine = load(dropping, options={"retain_dropout": True})
    requests = [request(prompt, number=i, beam=1 + i % 2, seed=9) for i, prompt in enumerate(PROMPTS)]
    requests.append(msgspec.structs.replace(request(FIRST, number=9, seed=9), task="score", target="w3 w4"))
    alone = [Told(engine, asked) for asked in requests]
    for heard, its in zip(together(engine, requests), alone, strict=True):
        assert Told.of(heard).steps == its.steps
    unseeded = Told(engine, request(FIRST))
    seed = int(unseeded.started.notes[0].removeprefix("seed "))
    assert Told(engine, request(FIRST, seed=seed)).steps == unseeded.steps


# -- overrides and plug-ins --------------------------------------------------------------------------------


def test_the_configuration_in_a_checkpoint_can_be_overridden(translation: Path) -> None:
    engine = load(
        translation, options={"model_overrides": {"max_target_positions": 24, "left_pad_source": False}}
    )
    assert engine._model.task.cfg.left_pad_source is False and not engine._model.pads_left


PLUGIN = """
from pathlib import Path
from fairseq.models import register_model_architecture
from fairseq.models.transformer import base_architecture
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationTask, TranslationConfig
from dataclasses import dataclass

Path(__file__).with_name("ran").touch()


@register_model_architecture("transformer", "{name}_arch")
def small(args):
    base_architecture(args)


@dataclass
class Config(TranslationConfig):
    pass


@register_task("{name}_task", dataclass=Config)
class Task(TranslationTask):
    pass
"""


def test_plug_ins_run_only_where_their_folder_is_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "their_plugins"
    folder.mkdir()
    (folder / "__init__.py").write_text(PLUGIN.replace("{name}", "theirs"))
    path = write_model(tmp_path / "model")
    state = torch.load(path, weights_only=False)
    state["cfg"]["task"]["_name"] = "theirs_task"
    state["cfg"]["model"].arch = state["cfg"]["model"]._name = "theirs_arch"
    torch.save(state, path)
    assert "task 'theirs_task'" in refused(path).message
    options = {"user_dir": str(folder)}
    error = refused(path, options=options)
    assert error.kind == "untrusted" and fingerprint.code(folder) in error.hint
    assert not (folder / "ran").exists()
    mark = fingerprint.code(folder)
    (folder / "__init__.py").write_text(PLUGIN.replace("{name}", "theirs") + "\n")
    assert refused(path, options=options, trust=(mark,)).kind == "untrusted"  # it has changed since
    assert not (folder / "ran").exists()
    engine: FairseqEngine = load(path, options=options, trust=(fingerprint.code(folder),))
    assert (folder / "ran").exists() and "their_plugins" in sys.modules
    assert Told(engine, request(FIRST)).finished.text


def test_plug_ins_that_fail_are_named(tmp_path: Path, translation: Path) -> None:
    folder = tmp_path / "broken_plugins"
    assert "is not a folder" in refused(translation, options={"user_dir": str(folder)}).message
    folder.mkdir()
    (folder / "__init__.py").write_text("import nowhere_to_be_found")
    trusted = ModelSpec(name="", backend="", path="", trust=(fingerprint.code(folder),)).trust
    error = refused(translation, options={"user_dir": str(folder)}, trust=trusted)
    assert "ModuleNotFoundError" in error.message and "nowhere_to_be_found" in error.message
