"""``multigpu-repl install fairseq``, with pip and the compiler played by fakes."""

import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from repl import exits, install


class FakePip:
    """Takes note of each call; installing fairseq makes it appear in the given form."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[list[str], str | None]] = []
        self.form = "missing"
        self.compiles = True
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(install, "fairseq_form", lambda: self.form)
        monkeypatch.setattr(install, "_version", lambda name: "0.12.2" if name == "fairseq" else None)

    def run(self, command: list[str], env: Mapping[str, str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        pure = env.get("READTHEDOCS")
        self.calls.append((command, pure))
        failed = False
        if f"fairseq=={install.FAIRSEQ}" in command:
            failed = not pure and not self.compiles
            if not failed:
                self.form = "pure Python" if pure else "compiled"
        return subprocess.CompletedProcess(command, int(failed))


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    monkeypatch.setattr(install, "can_compile", lambda: "")
    return FakePip(monkeypatch)


def test_dependencies_come_first_then_fairseq_alone(pip: FakePip) -> None:
    assert install.main("fairseq") == exits.OK
    (needs, _), (alone, pure) = pip.calls
    assert any(word.startswith("omegaconf") for word in needs) and not any(
        "fairseq" in word for word in needs
    )
    assert alone[-2:] == ["--no-deps", "fairseq==0.12.2"] and pure is None
    assert pip.form == "compiled"


def test_doing_it_again_does_nothing(pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    pip.form = "compiled"
    monkeypatch.setattr(install, "_satisfied", lambda wanted: True)
    assert install.main("fairseq") == exits.OK
    assert pip.calls == []


def test_without_a_compiler_it_is_pure_python(pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "can_compile", lambda: "there is no C compiler")
    assert install.main("fairseq") == exits.OK
    command, pure = pip.calls[-1]
    assert pure == "1" and "--no-cache-dir" in command and pip.form == "pure Python"


def test_a_build_that_fails_falls_back_to_pure_python(
    pip: FakePip, capfd: pytest.CaptureFixture[str]
) -> None:
    pip.compiles = False
    assert install.main("fairseq") == exits.OK
    assert [pure for _, pure in pip.calls] == [None, None, "1"]
    out, err = capfd.readouterr()
    assert out == "" and "compiling failed" in err


def test_a_failure_of_pip_is_told(
    pip: FakePip, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    assert install.main("fairseq") == exits.SOME_FAILED
    assert "that failed" in capfd.readouterr().err
    monkeypatch.setattr(install, "_satisfied", lambda wanted: True)
    assert install.main("fairseq") == exits.SOME_FAILED
    assert "could not be installed" in capfd.readouterr().err


def test_torch_is_never_just_the_newest(
    pip: FakePip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    install.main("fairseq")
    assert f"torch=={install.TORCH}" in pip.calls[0][0]
    pins = tmp_path / "constraints.txt"
    pins.touch()
    install.main("fairseq", constraints=[str(pins)])
    command = pip.calls[-1][0]
    assert command[command.index("--constraint") + 1] == str(pins)
    assert not any(word.startswith("torch==") for word in command)


def test_uv_serves_where_there_is_no_pip(pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "uv" else None)
    monkeypatch.setattr(install, "can_compile", lambda: "there is no C compiler")
    assert install.main("fairseq") == exits.OK
    command, _ = pip.calls[-1]
    assert command[:3] == ["/bin/uv", "pip", "install"] and "--no-cache" in command and "--python" in command
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert install.main("fairseq") == exits.USAGE


def test_requirements_are_those_of_the_extra() -> None:
    wanted = install.requirements("fairseq")
    assert any(text.startswith("hydra-core") for text in wanted) and not any(
        "pytest" in text for text in wanted
    )
    assert not any(";" in text for text in wanted)


@pytest.mark.parametrize(
    ("there", "headers", "lacking"),
    [
        ({"gcc", "g++"}, True, ""),
        ({"clang", "clang++"}, True, ""),
        ({"g++"}, True, "there is no C compiler"),
        ({"gcc"}, True, "there is no C++ compiler"),
        ({"gcc", "g++"}, False, "Python's headers are not installed"),
    ],
)
def test_what_a_build_needs(
    there: set[str], headers: bool, lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    if headers:
        (tmp_path / "Python.h").touch()
    monkeypatch.setattr("shutil.which", lambda name: name if name in there else None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    assert install.can_compile() == lacking


@pytest.mark.parametrize(
    ("file", "form"), [("data_utils_fast.cpython-311-x.so", "compiled"), ("", "pure Python")]
)
def test_the_form_is_seen_without_importing_it(
    file: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "fairseq"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    if file:
        (package / "data" / file).touch()
    spec = importlib.util.spec_from_file_location("fairseq", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert install.fairseq_form() == form
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert install.fairseq_form() == "missing"
