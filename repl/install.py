"""``multigpu-repl install fairseq``: the step that a package extra cannot say.

fairseq 0.12.2's own metadata does not resolve beside current hydra-core and omegaconf, so its dependencies
come from our extra and fairseq itself without any. Without a compiler it is installed in its pure-Python
form, which setup.py offers for building its documentation (READTHEDOCS).
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from repl import exits
from repl.spelling import nearest

FAIRSEQ = "0.12.2"
TORCH = "2.13.0"
"""What is installed where there is no torch yet and no constraint names another: never just the newest."""


def main(what: str, constraints: Sequence[str] = ()) -> int:
    """Install ``what`` into the running Python environment; doing it again does nothing."""
    if what not in RECIPES:
        near = nearest(what, RECIPES)
        hint = f"did you mean '{near}'?" if near else f"there is {', '.join(RECIPES)}"
        _say(f"nothing called '{what}' can be installed: {hint}")
        return exits.USAGE
    for file in constraints:
        if not Path(file).is_file():
            _say(f"--constraint: there is no file {file}")
            return exits.USAGE
    installer = _installer()
    if installer is None:
        _say(f"there is neither pip nor uv for {sys.executable}: install one of them first")
        return exits.USAGE
    return RECIPES[what]([*installer, "install"], constraints)


def fairseq_form() -> Literal["missing", "compiled", "pure Python"]:
    """How fairseq is installed; nothing of it is imported to find out."""
    spec = importlib.util.find_spec("fairseq")
    if spec is None or spec.origin is None:
        return "missing"
    built = Path(spec.origin).parent.glob("data/data_utils_fast*.so")
    return "compiled" if any(built) else "pure Python"


def requirements(extra: str) -> list[str]:
    """What ``multigpu-repl[extra]`` asks for, from the metadata of the installed package."""
    found = []
    for line in importlib.metadata.requires("multigpu-repl") or ():
        requirement, _, marker = line.partition(";")
        if re.search(rf"extra == ['\"]{extra}['\"]", marker):
            found.append(requirement.strip())
    return found


def can_compile() -> str:
    """Empty if C and C++ extensions can be built here, else what is missing."""
    if not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))):
        return "there is no C compiler"
    if not (os.environ.get("CXX") or any(map(shutil.which, ("c++", "g++", "clang++")))):
        return "there is no C++ compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are not installed"
    return ""


def _fairseq(install: Sequence[str], constraints: Sequence[str]) -> int:
    wanted = requirements("fairseq")
    if importlib.util.find_spec("torch") is None and not constraints:
        wanted.append(f"torch=={TORCH}")
    if not _satisfied(wanted):
        _say("installing what fairseq needs ...")
        pins = [word for file in constraints for word in ("--constraint", file)]
        if _call([*install, *pins, *wanted]) != 0:
            _say("that failed; the lines above say why")
            return exits.SOME_FAILED
    importlib.invalidate_caches()
    if fairseq_form() != "missing" and _version("fairseq") == FAIRSEQ:
        _say(f"fairseq {FAIRSEQ} is installed ({fairseq_form()})")
        return exits.OK
    lacking = can_compile()
    if not lacking:
        _say(f"installing fairseq {FAIRSEQ}; its extensions are compiled, which takes a minute ...")
        if _call([*install, "--no-deps", f"fairseq=={FAIRSEQ}"]) == 0:
            return _conclude()
        lacking = "compiling failed"
    _say(f"installing fairseq {FAIRSEQ} in its pure-Python form ({lacking}) ...")
    # An earlier, compiled build in the cache would ignore the wish.
    uncached = "--no-cache" if Path(install[0]).name == "uv" else "--no-cache-dir"
    _call([*install, "--no-deps", uncached, f"fairseq=={FAIRSEQ}"], {"READTHEDOCS": "1"})
    return _conclude()


def _conclude() -> int:
    importlib.invalidate_caches()
    form = fairseq_form()
    if form == "missing":
        _say("fairseq could not be installed; the lines above say why")
        return exits.SOME_FAILED
    _say(f"fairseq {FAIRSEQ} is installed ({form})")
    return exits.OK


RECIPES: Mapping[str, Callable[[Sequence[str], Sequence[str]], int]] = {"fairseq": _fairseq}


def _satisfied(wanted: Sequence[str]) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # itself one of the requirements
        return False
    parsed = [Requirement(text) for text in wanted]
    return all((version := _version(r.name)) is not None and r.specifier.contains(version) for r in parsed)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installer() -> list[str] | None:
    """pip of this environment, else uv told to work on it."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    return None if uv is None else [uv, "pip"]


def _call(command: list[str], extra: Mapping[str, str] | None = None) -> int:
    """Run it with its output on standard error; returns its exit status."""
    if command[1] == "pip":
        command += ["--python", sys.executable]
    environment = {**os.environ, **(extra or {})}
    return subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
