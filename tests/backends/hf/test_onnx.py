"""ONNX Runtime in the place of the network: the same answers, and a cache that is not trusted blindly."""

import json
import shutil
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from backends import cache
from backends.base import BackendError
from backends.hf import HuggingFace
from backends.hf.onnx import check, providers
from backends.hf.onnx import export as exporting
from backends.hf.state.causal import CausalRows
from repl.messages import Failed, Finished, ModelSpec
from tests.backends.hf import support
from tests.backends.hf.support import ask, request, run

KINDS = ["gpt2", "llama", "qwen3"]
PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that and the hat sat on"]
LONG = "Every good boy: a model reads a prompt and writes an answer, and that was that"


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Below it, for each kind, the cache with its graph."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="module")
def graph(checkpoint, load, homes):
    """``graph(kind)`` is the engine of a kind on ONNX Runtime; each kind is exported once."""
    engines = {}

    def of(kind):
        if kind not in engines:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(homes / kind))
                engines[kind] = load(checkpoint(kind), options={"engine": "onnx"})
        return engines[kind]

    return of


@pytest.fixture
def exported(graph, homes, tmp_path):
    """A copy of the llama's graph."""
    graph("llama")
    (file,) = (homes / "llama").rglob("model.onnx")
    files = shutil.ignore_patterns("made.json")
    return shutil.copytree(file.parent, tmp_path / "exported", ignore=files)


@pytest.fixture
def alone(exported, checkpoint, monkeypatch, tmp_path):
    """``alone(change)`` loads the llama when the cache holds its graph after ``change``: an engine or error.

    With it come the stages of loading. What is exported is a copy of the unchanged graph.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "export", lambda network, folder: shutil.copytree(exported, folder))

    def loaded(change=None, **spec):
        stages = []
        settings = {"options": {"engine": "onnx"}} | spec
        model = ModelSpec(name="tiny", backend="hf", path=str(checkpoint("llama")), **settings)

        def once():
            try:
                return HuggingFace.load(model, "cpu", 1, lambda stage, _: stages.append(stage))
            except BackendError as error:
                return error.error

        if change is not None:
            once()
            stages.clear()
            (folder,) = [path.parent for path in (tmp_path / "cache").rglob("made.json")]
            change(folder)
        return once(), stages

    return loaded


def reverse(weights):
    """A file of weights that is as good as any other to look at."""
    weights.write_bytes(np.frombuffer(weights.read_bytes(), np.float32)[::-1].tobytes())


def seal(folder):
    """Make the record say that the folder is as it was made."""
    files = [file for file in sorted(folder.iterdir()) if file.name != "made.json"]
    sizes = {file.name: file.stat().st_size for file in files}
    (folder / "made.json").write_text(json.dumps({"files": sizes, "contents": cache.contents(folder)}))


class TestAnswers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("gap", [0, 3])
    def test_requests_that_come_and_go_get_the_networks_tokens(self, kind, gap, graph, engine):
        requests = [
            request(i, prompt, max_new=most)
            for i, (prompt, most) in enumerate(zip(PROMPTS, [12, 5, 9, 12], strict=True))
        ]
        found, expected = (run(one(kind), *requests, gap=gap) for one in (graph, engine))
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert found[0].end.batch == expected[0].end.batch > 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_seed_draws_the_same_tokens(self, kind, graph, engine):
        requests = [
            request(i, prompt, temperature=0.9, top_p=0.95, seed=7 + i, n=2, logprobs=3)
            for i, prompt in enumerate(PROMPTS)
        ]
        for a, b in zip(run(graph(kind), *requests), run(engine(kind), *requests), strict=True):
            assert [h.tokens for h in a.end.hypotheses] == [h.tokens for h in b.end.hypotheses]
            for mine, eager in zip(a.steps, b.steps, strict=True):
                assert mine.raw_lp == pytest.approx(eager.raw_lp, abs=1e-4)
                assert [token for token, _, _ in mine.top] == [token for token, _, _ in eager.top]

    @pytest.mark.parametrize("kind", KINDS)
    def test_beams_find_the_same_hypotheses(self, kind, graph, engine):
        a, b = (ask(one(kind), PROMPTS[1], beam=4, n=4, length_penalty=0.7) for one in (graph, engine))
        assert [h.tokens for h in a.end.hypotheses] == [h.tokens for h in b.end.hypotheses]
        scores = [h.score for h in b.end.hypotheses]
        assert [h.score for h in a.end.hypotheses] == pytest.approx(scores, abs=1e-4)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_text_scores_the_same(self, kind, graph, engine):
        asked = request(1, "the cat sat on", task="score", target=" the mat with the hat")
        (a,), (b,) = run(graph(kind), asked), run(engine(kind), asked)
        expected = [step.raw_lp for step in b.steps]
        assert [step.raw_lp for step in a.steps] == pytest.approx(expected, abs=1e-4)

    def test_what_was_read_before_is_not_read_again(self, graph, engine):
        ask(graph("llama"), LONG)
        again = ask(graph("llama"), LONG + " the cat")
        assert again.started.reused >= 32
        assert again.tokens == ask(engine("llama"), LONG + " the cat").tokens

    def test_long_prompts_are_read_in_parts(self, alone, engine):
        loaded, _ = alone(options={"engine": "onnx", "prefill_tokens": 7})
        requests = [request(i, prompt) for i, prompt in enumerate([LONG, "the cat"])]
        expected = [heard.tokens for heard in run(engine("llama"), *requests)]
        assert [heard.tokens for heard in run(loaded, *requests)] == expected

    def test_what_runs_it_is_said_and_what_it_cannot_do_left_out(self, graph, engine):
        told, eager = graph("llama").capabilities, engine("llama").capabilities
        assert told.notes == ("runs on ONNX Runtime, CPUExecutionProvider",)
        assert "lens" in eager.tasks and "lens" not in told.tasks
        assert (told.dtype, told.slots) == (eager.dtype, eager.slots)

    def test_no_second_copy_of_the_weights_stays(self, graph):
        network = graph("llama")._model.network
        assert {weight.device.type for weight in network.parameters()} == {"meta"}

    def test_weights_that_are_used_twice_count_once(self, graph, engine):
        assert graph("gpt2").capabilities.parameters == engine("gpt2").capabilities.parameters

    def test_a_pass_that_finds_no_memory_is_undone(self, graph, engine, monkeypatch):
        made = graph("llama")
        inner, passes = made._model.network._session, []

        class Full:
            def __getattr__(self, name):
                return getattr(inner, name)

            def run_with_iobinding(self, binding):
                passes.append(binding)
                if len(passes) == 6:
                    raise RuntimeError("Failed to allocate memory for requested buffer of size 1")
                inner.run_with_iobinding(binding)

        made.forget()
        monkeypatch.setattr(made._model.network, "_session", Full())
        a, b = run(made, request(1, PROMPTS[0]), request(2, PROMPTS[1]))
        assert a.tokens == ask(engine("llama"), PROMPTS[0]).tokens
        assert isinstance(b.end, Failed) and b.end.error.kind == "out_of_memory"


class TestCache:
    def test_an_export_is_made_once(self, alone, exported):
        loaded, stages = alone()
        assert "converting" in stages and ask(loaded).tokens
        loaded, stages = alone()
        assert "converting" not in stages and isinstance(ask(loaded).end, Finished)

    @pytest.mark.parametrize("harm", ["graph", "weights", "gone"])
    def test_a_damaged_one_is_made_anew(self, harm, alone, engine):
        def change(folder):
            match harm:
                case "graph":
                    (folder / "model.onnx").write_bytes(b"\x00" * 100)
                case "weights":
                    (folder / "model.onnx.data").write_bytes(b"")
                case "gone":
                    (folder / "model.onnx.data").unlink()

        loaded, stages = alone(change)
        assert stages.count("converting") == 1
        assert ask(loaded).tokens == ask(engine("llama")).tokens

    @pytest.mark.parametrize("harm", ["no graph", "elsewhere", "link", "other weights"])
    def test_one_that_was_tampered_with_is_made_anew(self, harm, alone, engine, tmp_path):
        def change(folder):
            file, weights = folder / "model.onnx", folder / "model.onnx.data"
            match harm:
                case "no graph":
                    file.write_bytes(b"\x00" * 100)
                case "elsewhere":
                    shutil.copy(weights, tmp_path / "outside.data")
                    model = onnx.load(file, load_external_data=False)
                    for tensor in model.graph.initializer:
                        for entry in tensor.external_data:
                            if entry.key == "location":
                                entry.value = "../../../../outside.data"
                    file.write_bytes(model.SerializeToString())
                case "link":
                    shutil.move(weights, tmp_path / "outside.data")
                    weights.symlink_to(tmp_path / "outside.data")
                case "other weights":
                    reverse(weights)
            seal(folder)

        loaded, stages = alone(change)
        assert stages.count("converting") == 1
        assert ask(loaded).tokens == ask(engine("llama")).tokens

    def test_another_dtype_is_another_graph(self, alone, tmp_path):
        alone()
        _, stages = alone(dtype="float16")
        assert "converting" in stages


class TestRefusals:
    def refused(self, load, folder, **spec):
        return support.refused(load, folder, **({"options": {"engine": "onnx"}} | spec))

    @pytest.mark.parametrize(
        ("kind", "why"), [("t5", "only decoder-only models do"), ("mamba", "its state is more than keys")]
    )
    def test_kinds_that_do_not_go(self, kind, why, load, checkpoint):
        error = self.refused(load, checkpoint(kind))
        assert error.kind == "unsupported" and "'tiny'" in error.message and why in error.message
        assert error.hint == "take 'engine: onnx' out of its options"

    @pytest.mark.parametrize("kind", ["dynamic", "longrope"])
    def test_positions_that_depend_on_the_length(self, kind):
        with pytest.raises(BackendError, match="depends on the length of a text"):
            check(ModelSpec(name="tiny", backend="hf", path="tiny"), support.length_dependent(kind))

    def test_several_devices(self, load, checkpoint):
        error = self.refused(load, checkpoint("llama"), gpus=2)
        assert error.kind == "unsupported" and "several devices" in error.message

    def test_an_export_that_fails_says_why(self, load, checkpoint, monkeypatch, tmp_path):
        def fails(network, folder):
            raise RuntimeError("no kernel for this\nand much more")

        monkeypatch.setattr(exporting, "export", fails)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        error = self.refused(load, checkpoint("llama"))
        assert error.message.endswith("the export failed: no kernel for this")
        assert error.hint == "take 'engine: onnx' out of its options" and "much more" in error.detail

    def test_a_graph_that_answers_otherwise(self, alone, exported):
        weights = exported / "model.onnx.data"
        reverse(weights)
        error, stages = alone()
        assert error.kind == "unsupported" and "its answers differ" in error.message
        assert stages.count("converting") == 1

    def test_a_package_that_is_missing(self, load, checkpoint, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        monkeypatch.delitem(sys.modules, "backends.hf.onnx.load")
        error = self.refused(load, checkpoint("llama"))
        assert (error.kind, error.hint) == ("missing_package", "pip install 'multigpu-repl[onnx]'")
        assert "onnxruntime" in error.message

    def test_a_provider_that_does_not_exist(self, load, checkpoint):
        error = self.refused(load, checkpoint("llama"), options={"engine": "onnx", "provider": "openvino"})
        assert error.kind == "bad_parameter" and "'openvino' - at `$.provider`" in error.message

    def test_a_provider_of_another_device(self, load, checkpoint):
        error = self.refused(load, checkpoint("llama"), options={"engine": "onnx", "provider": "cuda"})
        assert error.kind == "bad_parameter" and "does not run on cpu" in error.message


class TestProviders:
    ALL = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")

    @pytest.mark.parametrize(
        ("wanted", "device", "names"),
        [
            ("auto", "cpu", ["CPUExecutionProvider"]),
            ("cpu", "cpu", ["CPUExecutionProvider"]),
            ("auto", "cuda:3", ["CUDAExecutionProvider"]),
            ("tensorrt", "cuda:3", ["TensorrtExecutionProvider", "CUDAExecutionProvider"]),
        ],
    )
    def test_the_device_decides(self, wanted, device, names):
        chosen = providers.choose("lm", wanted, device, self.ALL)
        assert [one if isinstance(one, str) else one[0] for one in chosen] == names
        assert all(one[1]["device_id"] == "3" for one in chosen if not isinstance(one, str))

    def test_a_gpu_is_not_silently_left_unused(self):
        with pytest.raises(BackendError) as caught:
            providers.choose("lm", "auto", "cuda:0", ("CPUExecutionProvider",))
        assert caught.value.error.kind == "missing_package" and "onnxruntime-gpu" in caught.value.error.hint
        with pytest.raises(BackendError, match="would run on CPUExecutionProvider"):
            providers.check("lm", [("CUDAExecutionProvider", {})], ["CPUExecutionProvider"])

    def test_tensorrt_is_told_the_shapes_to_come(self):
        inputs = {"input_ids": [0, 0], "attention_mask": [0, 0], "logits_to_keep": [0], "state": [0, 2, 0, 8]}
        told = providers.profile(inputs, rows=16, new=512, total=1024)
        assert told["trt_profile_min_shapes"] == (
            "input_ids:1x1,attention_mask:1x1,logits_to_keep:1,state:1x2x0x8"
        )
        assert told["trt_profile_opt_shapes"] == (
            "input_ids:1x1,attention_mask:1x513,logits_to_keep:1,state:1x2x512x8"
        )
        assert told["trt_profile_max_shapes"] == (
            "input_ids:16x512,attention_mask:16x1024,logits_to_keep:512,state:16x2x1024x8"
        )


def test_rows_of_a_graph_are_those_of_the_network(graph, network):
    """Padding on the left, a join and a leave, against the network's own logits for the whole text."""
    rows, other = (CausalRows(graph("gpt2")._model.network) for _ in range(2))
    with torch.inference_mode():
        rows.prefill([[5, 6, 7, 8, 9], [10, 11]])
        other.prefill([[12, 13, 14]])
        rows.join(other)
        found = rows.decode(torch.tensor([20, 21, 22]))
        rows.select([2, 1])
        last = rows.decode(torch.tensor([30, 31]))
        for text, logits in [
            ([5, 6, 7, 8, 9, 20], found[0]),
            ([10, 11, 21], found[1]),
            ([12, 13, 14, 22, 30], last[0]),
            ([10, 11, 21, 31], last[1]),
        ]:
            whole = network("gpt2")(torch.tensor([text])).logits[0, -1]
            assert logits.tolist() == pytest.approx(whole.tolist(), abs=1e-4)
