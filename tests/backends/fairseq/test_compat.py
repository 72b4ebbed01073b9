"""fairseq comes up on this Python, and nothing outside it is changed."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from tests.backends.fairseq import ready  # noqa: F401

ROOT = Path(__file__).parents[3]

CHECK = """
import dataclasses, logging, sys, warnings
import numpy, torch
before = dataclasses.dataclass, torch.load, torch.__version__, dict(vars(numpy))
handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
from backends.fairseq import compat
module = compat.load()
assert module.__name__ == "fairseq" and module is sys.modules["fairseq"]
assert "backends" not in module.__file__
assert before[:3] == (dataclasses.dataclass, torch.load, torch.__version__)
assert "int" not in vars(numpy) and "float" not in vars(numpy)
assert (handlers, level) == (logging.getLogger().handlers, logging.getLogger().level)
assert eval is __builtins__.eval
try:
    @dataclasses.dataclass
    class Mine:
        shared: list = []
except ValueError:
    print("untouched")
"""


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_a_strict_interpreter_loads_it_and_stays_as_it_was() -> None:
    done = run("-W", "error", "-c", CHECK)
    assert (done.stdout, done.stderr, done.returncode) == ("untouched\n", "", 0)


PURE = """
import sys
for name in ("fairseq.libbleu", "fairseq.libbase", "fairseq.libnat", "fairseq.data.data_utils_fast",
             "fairseq.data.token_block_utils_fast"):
    sys.modules[name] = None
from backends.fairseq import Fairseq
from repl.messages import ModelSpec, Request
from repl.params import Params
for name, prompt in (("num2digits", "two hundred and five"), ("numlm", "two hundred and five is")):
    spec = ModelSpec(name=name, backend="fairseq", path=f"repl/demo/models/{name}")
    engine = Fairseq.load(spec, "cpu", 1, lambda stage, fraction: None)
    engine.admit(Request(model=name, prompt=prompt, params=Params(max_new=8, beam=2)))
    while not (events := engine.step()) or not hasattr(events[-1], "reason"):
        pass
    print(events[-1].text)
"""


def test_an_install_without_a_compiler_answers() -> None:
    done = run("-c", PURE)
    assert (done.stdout, done.stderr) == ("2 0 5\n2 0 5\n", "")


def test_the_launcher_runs_a_tool_of_fairseq(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("a b a\nc\n")
    tool = ["-m", "backends.fairseq.compat", "fairseq_cli.preprocess:cli_main"]
    done = run(*tool, "--only-source", "--trainpref", "train", "--destdir", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "dict.txt").read_text().startswith("a 2\nb 1\nc 1\n")


def test_the_launcher_says_how_it_is_called() -> None:
    done = run("-m", "backends.fairseq.compat", "train")
    assert done.returncode != 0
    assert "MODULE:FUNCTION" in done.stderr


def test_plug_in_configurations_may_hold_one_another() -> None:
    from fairseq.dataclass import FairseqDataclass

    @dataclasses.dataclass
    class Inner(FairseqDataclass):
        size: int = 3

    @dataclasses.dataclass
    class Outer(FairseqDataclass):
        inner: Inner = Inner()  # noqa: RUF009

    assert Outer().inner.size == 3


def test_padded_batches_do_not_take_the_broken_path() -> None:
    from fairseq.modules import transformer_layer

    assert transformer_layer.torch.__version__ == "1.11.0"
