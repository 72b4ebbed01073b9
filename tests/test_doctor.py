"""What doctor finds, and how it says it."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import pynvml
import pytest

from backends import registry
from backends.base import Requirement
from repl import devices, doctor, exits, install, paths, torch_seen, trial
from repl.doctor import Finding
from repl.torch_seen import Seen
from tests.nvml import Install


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is there, as it were, and is not asked, since that takes seconds."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: ModuleSpec(name, None) if name == "torch" else real(name)
    )
    torch_says(monkeypatch, Seen(threads=2))


def torch_says(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> list[str | None]:
    """Returns the devices that it will have been asked with."""
    asked: list[str | None] = []

    def ask(visible: str | None = None) -> tuple[Seen, str]:
        asked.append(visible)
        return seen, ""

    monkeypatch.setattr(torch_seen, "ask", ask)
    return asked


def found(section: str, name: str) -> Finding:
    return next(f for f in doctor.examine(quick=True) if (f.section, f.name) == (section, name))


def test_every_section_is_there() -> None:
    sections = list(dict.fromkeys(f.section for f in doctor.examine(quick=True)))
    assert sections == ["versions", "devices", "backends", "configuration", "folders", "terminal"]


def test_a_backend_that_works_says_what_it_is() -> None:
    assert found("backends", "echo") == Finding(
        section="backends", name="echo", state="ok", text=registry.find("echo").summary
    )


def test_a_missing_package_comes_with_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [
        Requirement("torch", "pip install torch"),
        Requirement("fairseq", "multigpu-repl install fairseq"),
    ]
    monkeypatch.setattr(registry, "missing", lambda name: needs if name == "fairseq" else [])
    finding = found("backends", "fairseq")
    assert (finding.state, finding.text) == ("missing", "needs torch, fairseq")
    assert finding.hint == "to add it: pip install torch; multigpu-repl install fairseq"


def test_a_backend_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Sequence[Requirement]:
        raise ImportError("no such symbol")

    monkeypatch.setattr(registry, "missing", fail)
    finding = found("backends", "echo")
    assert (finding.state, finding.text) == ("broken", "cannot be imported: ImportError: no such symbol")


@pytest.mark.parametrize("form", ["compiled", "pure Python"])
def test_the_form_of_fairseq_is_told(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "missing", lambda name: [])
    monkeypatch.setattr(install, "fairseq_form", lambda: form)
    assert found("backends", "fairseq").text.endswith(f"({form})")


def test_gpus_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = devices.Device(id="cuda:0", name="H200", total_memory=150 * 10**9, free_memory=149 * 10**9)
    monkeypatch.setattr(devices, "gpus", lambda: [card])
    torch_says(monkeypatch, Seen(cuda="13.0", devices=1, threads=2))
    assert found("devices", "cuda:0").text == "H200, 149.0 GB of 150.0 GB free"
    assert found("devices", "torch").text == "built for CUDA 13.0, uses 1 GPUs and 2 threads"


def test_a_torch_that_does_not_see_the_gpus_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    card = devices.Device(id="cuda:0", name="H200", total_memory=1, free_memory=1)
    monkeypatch.setattr(devices, "gpus", lambda: [card])
    finding = found("devices", "torch")
    assert finding.state == "broken" and finding.text.endswith("but 1 are there")
    assert "pytorch.org" in finding.hint


def test_the_driver_is_told(gpus: Install) -> None:
    gpus("GPU-a")
    assert found("devices", "driver").text == "NVIDIA 580.95.05, for CUDA up to 13.0"


def test_a_driver_that_does_not_answer_is_broken(gpus: Install) -> None:
    gpus(fault=pynvml.NVML_ERROR_UNKNOWN)
    finding = found("devices", "driver")
    assert (finding.state, finding.text) == ("broken", "NVML: Unknown Error")
    assert "restart" in finding.hint


def test_without_a_driver_nothing_is_said_of_one(gpus: Install) -> None:
    assert not [f for f in doctor.examine(quick=True) if f.name == "driver"]


def test_partitions_need_not_all_be_seen_by_one_process(
    gpus: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus("GPU-a").partitions = {"GPU-a": ["MIG-x", "MIG-y"]}
    asked = torch_says(monkeypatch, Seen(cuda="13.0", devices=1, threads=2))
    assert found("devices", "torch").state == "ok"
    assert asked == ["MIG-x"]


def test_a_gpu_that_torch_has_no_kernels_for_is_broken(
    gpus: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus("GPU-a", "GPU-b")
    faults = {"cuda:1": "CUDA error: no kernel image is available for execution on the device"}
    torch_says(monkeypatch, Seen(cuda="13.0", devices=2, threads=2, faults=faults))
    findings = [f for f in doctor.examine(quick=True) if f.name == "cuda:1"]
    assert [f.state for f in findings] == ["ok", "broken"]
    assert findings[1].text.startswith("torch cannot compute on it: CUDA error: no kernel image")


def test_no_gpu_is_explained_by_what_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert found("devices", "gpu").text == "none that NVML can see; CUDA_VISIBLE_DEVICES is ''"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    finding = found("folders", "record")
    assert finding.state == "broken" and finding.text.startswith(f"{paths.data_dir()} cannot be written: ")


def test_a_mistake_in_the_settings_is_told() -> None:
    assert found("configuration", "default").text.endswith("demo.yaml: lm-late, lm-early, num2digits, numlm")
    paths.user_config().parent.mkdir(parents=True)
    paths.user_config().write_text("thema: dusk")
    finding = found("configuration", "default")
    assert finding.state == "broken" and "config.yaml:1: thema: unknown key" in finding.text


def test_looking_leaves_nothing_behind(own_folders: Path) -> None:
    list(doctor.examine(quick=True))
    assert list(own_folders.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"NO_COLOR": "1"}, "off by NO_COLOR"),
        ({"COLORTERM": "truecolor"}, "16 million"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "vt100"}, "16 or fewer, as far as TERM tells"),
    ],
)
def test_colours(environment: dict[str, str], colours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLORTERM", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert found("terminal", "colours").text == colours


def test_tmux_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    assert "set-clipboard" in found("terminal", "tmux").hint


FINDINGS = [
    Finding(section="backends", name="hf", state="ok", text="works"),
    Finding(
        section="backends",
        name="fairseq",
        state="missing",
        text="needs \x1b[31mit",
        hint="to add it: do this",
    ),
    Finding(section="folders", name="record", state="broken", text="cannot be written"),
]


def test_text_is_aligned_and_safe() -> None:
    heading, hf, fairseq, hint, empty, folders, record = doctor.lines(FINDINGS)
    assert (heading, empty, folders) == ("backends", "", "folders")
    assert hf.index("works") == fairseq.index("needs") == hint.index("to add") == record.index("cannot")
    assert "\x1b" not in fairseq and record.startswith("  BROKEN ")


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda **_: iter(FINDINGS))
    assert doctor.main(as_json=True) == exits.SOME_FAILED
    told = json.loads(capsys.readouterr().out)
    assert told[0] == {"section": "backends", "name": "hf", "state": "ok", "text": "works", "hint": ""}


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        (FINDINGS[:1], exits.OK),
        (FINDINGS[:2], exits.OK),
        (FINDINGS, exits.SOME_FAILED),
        (FINDINGS[1:2], exits.SOME_FAILED),
    ],
)
def test_it_fails_when_something_is_broken_or_no_model_can_run(
    findings: list[Finding], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda **_: iter(findings))
    assert doctor.main() == code


class TestTrials:
    """What the demo models say, each in a process of its own."""

    def test_a_demo_model_answers(self) -> None:
        for requirement in registry.find("fairseq").requires:
            if importlib.util.find_spec(requirement.module) is None:
                pytest.skip(f"needs {requirement.module}")
        assert trial.Trial("fairseq").verdict() == trial.Verdict()

    def answers(self, code: str, monkeypatch: pytest.MonkeyPatch) -> trial.Verdict:
        """The verdict on a process that runs ``code`` instead."""
        start = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda _, **kw: start([sys.executable, "-c", code], **kw))
        return trial.Trial("hf").verdict(patience=20)

    def test_an_error_in_the_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code = """print('{"error": {"kind": "x", "message": "too long", "hint": "shorten it"}}')"""
        assert self.answers(code, monkeypatch) == trial.Verdict("too long", "shorten it")

    def test_a_model_that_cannot_be_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code = "import sys; sys.exit('multigpu-repl: loading\\nmultigpu-repl: no weights\\n  fetch them')"
        assert self.answers(code, monkeypatch) == trial.Verdict("no weights", "fetch them")

    def test_a_process_that_dies_in_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.answers("import os; os._exit(9)", monkeypatch) == trial.Verdict("it ended with status 9")

    def test_a_process_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code = "import sys; sys.stdin.read(); import signal; signal.pause()"
        start = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda _, **kw: start([sys.executable, "-c", code], **kw))
        assert trial.Trial("hf").verdict(patience=0.2).fault == "no answer within 0.2 s"


def test_a_backend_whose_model_does_not_answer_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def __init__(self, backend: str) -> None:
            """As the real one."""

        def verdict(self) -> trial.Verdict:
            return trial.Verdict("out of memory", "free some")

    monkeypatch.setattr(registry, "missing", lambda name: [])
    monkeypatch.setattr(doctor, "Trial", Silent)
    finding = next(f for f in doctor.examine() if f.name == "hf" and f.section == "backends")
    assert (finding.state, finding.hint) == ("broken", "free some")
    assert finding.text == "its demo model does not answer: out of memory"


TORCH = """
import os

class cuda:
    device_count = lambda: 2

class version:
    cuda = "13.0 on " + os.environ["CUDA_VISIBLE_DEVICES"]

class Number(int):
    def item(self):
        return self

get_num_threads = lambda: 1

def ones(size, device):
    if device == "cuda:1":
        raise RuntimeError("no kernel image\\nmore")
    return Number(1)

Number.__add__ = lambda self, other: self
"""


class TestAskingTorch:
    """The real question, put to whatever is installed."""

    @pytest.fixture(autouse=True)
    def quick(self) -> None:
        """Not here."""

    def test_an_answer(self) -> None:
        pytest.importorskip("torch")
        answer, fault = torch_seen.ask()
        assert fault == "" and answer.threads >= 1

    def test_a_torch_that_cannot_be_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "torch.py").write_text("raise ImportError('libcudart is missing')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
        answer, fault = torch_seen.ask()
        assert answer == Seen() and fault == "ImportError: libcudart is missing"

    def test_a_device_on_which_nothing_can_be_computed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "torch.py").write_text(TORCH)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
        answer, fault = torch_seen.ask("MIG-x")
        assert fault == "" and answer == Seen(
            cuda="13.0 on MIG-x", devices=2, threads=1, faults={"cuda:1": "no kernel image"}
        )
