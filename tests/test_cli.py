"""The command line: what it understands, what it says otherwise, and which front end it opens."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repl import __version__, arguments, batch, cli, exits, line, paths, tui
from repl.config import Config
from repl.options import BatchOptions, Options


class Opened:
    """Stands in for the front ends and keeps what they were given."""

    def __init__(self) -> None:
        self.name = ""
        self.config: Config | None = None
        self.options: Options | None = None

    def front_end(self, name: str, code: int = exits.OK) -> Callable[[Config, Options], int]:
        def run(config: Config, options: Options) -> int:
            self.name, self.config, self.options = name, config, options
            return code

        return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    kept = Opened()
    monkeypatch.setattr(line, "pipe", kept.front_end("pipe"))
    monkeypatch.setattr(line, "run", kept.front_end("line"))
    monkeypatch.setattr(tui, "run", kept.front_end("tui"))
    monkeypatch.setattr(batch, "run", kept.front_end("batch", exits.SOME_FAILED))
    return kept


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def become(*, stdin: bool = True, stdout: bool = True, term: str = "xterm-256color") -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: stdin)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout)
        monkeypatch.setenv("TERM", term)

    return become


class TestFrontEnds:
    @pytest.mark.parametrize(
        ("words", "terminals", "expected"),
        [
            ([], {}, "tui"),
            (["--plain"], {}, "line"),
            ([], {"term": "dumb"}, "line"),
            ([], {"term": ""}, "line"),
            ([], {"stdin": False}, "pipe"),
            ([], {"stdout": False}, "pipe"),
            (["--plain"], {"stdin": False}, "pipe"),
            (["--json"], {}, "pipe"),
        ],
    )
    def test_the_terminal_decides(
        self,
        words: list[str],
        terminals: dict[str, Any],
        expected: str,
        opened: Opened,
        terminal: Callable[..., None],
    ) -> None:
        terminal(**terminals)
        assert cli.main(["--config", "echo", *words]) == exits.OK
        assert opened.name == expected

    def test_options_reach_it(self, opened: Opened, tmp_path: Path) -> None:
        words = [
            "-c",
            "echo",
            "-m",
            "echo",
            "--set",
            "temperature=0.5",
            "-s",
            "stop=a,b",
            "--system",
            "Be brief.",
        ]
        words += [
            "--no-template",
            "--trace",
            str(tmp_path / "t"),
            "--metrics-port",
            "9100",
            "--resume",
            "--no-record",
            "--theme",
            "dusk",
        ]
        assert cli.main(words) == exits.OK
        assert opened.options == Options(
            settings={"temperature": 0.5, "stop": ("a", "b")},
            system="Be brief.",
            template=False,
            trace=tmp_path / "t",
            metrics_port=9100,
            resume="last",
            no_record=True,
            theme="dusk",
        )
        assert opened.config is not None and list(opened.config.models) == ["echo"]

    def test_what_is_not_said_is_left_open(self, opened: Opened) -> None:
        assert cli.main([]) == exits.OK
        assert opened.options == Options()
        assert opened.config is not None and opened.config.name == "demo"

    def test_a_theme_of_the_configuration_counts_when_none_is_given(self, opened: Opened) -> None:
        paths.user_config().parent.mkdir(parents=True)
        paths.user_config().write_text("theme: dusk")
        cli.main(["-c", "echo"])
        assert opened.options is not None and opened.options.theme == "dusk"

    def test_run_hands_its_options_over_and_its_exit_code_back(self, opened: Opened) -> None:
        words = [
            "run",
            "-c",
            "echo",
            "--use",
            "echo,slow-echo",
            "-i",
            "in.txt",
            "-o",
            "-",
            "--format",
            "text",
            "-q",
        ]
        assert cli.main([*words, "--set", "max_new=5"]) == exits.SOME_FAILED
        assert opened.options == BatchOptions(
            settings={"max_new": 5}, input=Path("in.txt"), output=None, format="text", quiet=True
        )
        assert opened.config is not None and opened.config.compare == ("echo", "slow-echo")

    def test_gpus_are_counted_as_nvidia_smi_does(
        self, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
        cli.main(["-c", "echo"])
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--modle", "x"], "unknown option --modle: did you mean --model?"),
        (["--replica=2"], "unknown option --replica: did you mean --replicas?"),
        (["--xyzzy"], "unknown option --xyzzy: multigpu-repl --help lists"),
        (["run", "--inptu", "x"], "unknown option --inptu: did you mean --input?"),
        (["docter"], "unknown command 'docter': did you mean multigpu-repl doctor?"),
        (["fairseq"], "unknown command 'fairseq': did you mean multigpu-repl fairseq-interactive?"),
        (
            ["gpt2"],
            "unknown command 'gpt2': there are run, fairseq-interactive, records, bench, doctor, install; "
            "a model is named with --model",
        ),
        (["--plain", "run"], "a command comes first: multigpu-repl run ..."),
        (["doctor", "now"], "'now' is one word too many"),
        (["--model"], "argument -m/--model: expected one argument"),
        (["--slots", "many"], "argument --slots: invalid int value: 'many'"),
        (["--metrics-port", "99999"], "--metrics-port: '99999' is not a port: it must be from 1 to 65535"),
        (["--system", "caf\udce9"], "caf� is not UTF-8"),
        (["records"], "the following arguments are required: list|search|show|sessions|export|path"),
        (["run", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["--set", "temperature"], "--set temperature: write NAME=VALUE"),
        (["--set", "temprature=1"], "unknown parameter 'temprature': did you mean 'temperature'?"),
        (["--set", "top_p=2"], "--set top_p=2: top_p = 2.0 is not allowed"),
        (["--config", "dmeo"], "--config: unknown configuration 'dmeo': did you mean 'demo'?"),
        (["--model", "./nowhere"], "--model ./nowhere: there is no file or folder"),
        (["-c", "echo", "--devices", "cuda:999"], "model 'echo' is to run on cuda:999, which is not there"),
        (["bench", "dispach"], "there is no benchmark 'dispach': did you mean 'dispatch'?"),
        (["install", "fairsec"], "nothing called 'fairsec' can be installed: did you mean 'fairseq'?"),
        (["install", "fairseq", "--constraint", "nowhere"], "--constraint: there is no file nowhere"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(
    words: list[str], expected: str, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == exits.USAGE
    out, err = capsys.readouterr()
    assert out == "" and expected in err and err.count("\n") == 1


def test_controls_in_a_word_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--model", "./\x1b]0;title\x07"]) == exits.USAGE
    assert "\x1b" not in capsys.readouterr().err


class TestHelp:
    @pytest.mark.parametrize("words", [[], ["run"], ["bench"], ["doctor"], ["install"]])
    def test_every_command_explains_itself(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main([*words, "--help"]) == exits.OK
        out = capsys.readouterr().out
        assert out.startswith("usage: multigpu-repl") and max(map(len, out.splitlines())) <= 110

    def test_it_names_every_command_and_exit_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        cli.main(["--help"])
        out = " ".join(capsys.readouterr().out.split())
        assert all(f"{name} {about}" in out for name, about in arguments.COMMANDS.items())
        codes = [value for name, value in vars(exits).items() if name.isupper()]
        assert [code for code in codes if f" {code} " not in out] == []

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--version"]) == exits.OK
        assert capsys.readouterr().out == f"multigpu-repl {__version__}\n"


class TestFaults:
    def test_a_fault_of_the_program_leaves_a_report(
        self, opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(_config: Config, _options: Options) -> int:
            raise ZeroDivisionError("a fault")

        monkeypatch.setattr(line, "pipe", fail)
        assert cli.main(["-c", "echo", "--json"]) == exits.CRASH
        out, err = capsys.readouterr()
        (report,) = paths.state_dir().glob("crash-*.txt")
        assert out == "" and str(report) in err and "Traceback" not in err
        assert "ZeroDivisionError: a fault" in report.read_text()

    def test_a_report_goes_elsewhere_when_the_folder_is_taken(
        self,
        opened: Opened,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(line, "pipe", lambda *_: 1 / 0)
        assert cli.main(["-c", "echo", "--json"]) == exits.CRASH
        (report,) = tmp_path.glob("multigpu-repl-*/crash-*.txt")
        assert str(report) in capsys.readouterr().err

    def test_ctrl_c_is_no_fault(self, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(_config: Config, _options: Options) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(line, "pipe", interrupted)
        assert cli.main(["-c", "echo", "--json"]) == exits.INTERRUPTED

    def test_a_reader_that_leaves_is_no_fault(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "repl", "--help"]
        buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=buffered, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (exits.READER_GONE, b"")


def test_the_installed_command_and_the_module_are_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "repl", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"multigpu-repl {__version__}\n"


def test_a_line_goes_in_and_an_answer_comes_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "repl", "-c", "echo", "-m", "echo", "--json"]
    done = subprocess.run(command, input="one two\n", capture_output=True, text=True, check=True)
    events = [json.loads(text) for text in done.stdout.splitlines()]
    assert events and done.returncode == exits.OK
