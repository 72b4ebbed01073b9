"""What a process imports: the command is quick to start, and whoever draws never holds torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "tokenizers", "fairseq", "textual", "prompt_toolkit", "numpy", "rich")


def imported(code: str, *argv: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    tell = f"{code}\nimport sys\nprint('\\n' + ' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", tell, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import repl.cli",
        "from repl.cli import main; main(['--help'])",
        "from repl.cli import main; main(['--version'])",
        "from repl.cli import main; main(['run', '--help'])",
        "from repl.cli import main; main(['--modle', 'x'])",
        "import repl.config, repl.options, repl.paths, repl.exits, repl.crash, repl.install",
    ],
)
def test_the_command_imports_nothing_heavy(code: str) -> None:
    assert imported(code).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "from repl.config import Arguments, choose; choose(Arguments())",
        "from repl.config import Arguments, choose; from repl.devices import plan; plan(choose(Arguments()))",
        "from backends import registry; [registry.find(name) for name in registry.names()]",
        "import repl.session.session, repl.pool, repl.doctor",
    ],
)
def test_configuration_session_and_pool_import_no_model_library(code: str) -> None:
    assert imported(code).isdisjoint(HEAVY[:6])


def test_each_front_end_imports_only_its_own_toolkit() -> None:
    assert imported("import repl.tui.app").isdisjoint({"torch", "transformers", "fairseq", "prompt_toolkit"})
    assert imported("import repl.line").isdisjoint({"torch", "transformers", "fairseq", "textual"})
    assert imported("import repl.batch").isdisjoint({"torch", "transformers", "textual", "prompt_toolkit"})
