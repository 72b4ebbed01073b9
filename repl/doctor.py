"""``multigpu-repl doctor``: what is installed, which backends work, and why one does not.

Everything is found out without importing torch here; what only torch can tell is asked of a process of its
own.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from backends import registry
from repl import __version__, cores, devices, exits, install, paths
from repl.config import Arguments, ConfigError, choose
from repl.safe import visible
from repl.trial import MODELS, Trial

State = Literal["ok", "note", "missing", "broken"]
MARKS: dict[State, str] = {"ok": "ok", "note": "-", "missing": "missing", "broken": "BROKEN"}

PACKAGES = (
    "msgspec", "textual", "prompt_toolkit", "torch", "transformers", "tokenizers", "safetensors", "fairseq",
    "hydra-core", "omegaconf", "ctranslate2", "numpy",
)  # fmt: skip

_ASK_TORCH = """
import json, torch
seen = {"cuda": torch.version.cuda, "devices": torch.cuda.device_count(), "threads": torch.get_num_threads()}
print(json.dumps(seen))
"""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    section: str
    name: str
    state: State
    text: str
    hint: str = ""
    """What to do about it."""


def main(*, as_json: bool = False, quick: bool = False) -> int:
    """Print the findings; ``exits.SOME_FAILED`` if one of them is broken or no model backend works."""
    findings = list(examine(quick=quick))
    if as_json:
        print(json.dumps([msgspec.to_builtins(f) for f in findings], indent=2))
    else:
        print("\n".join(lines(findings)))
    works = any(f.section == "backends" and f.name != "echo" and f.state == "ok" for f in findings)
    return exits.OK if works and all(f.state != "broken" for f in findings) else exits.SOME_FAILED


def examine(*, quick: bool = False) -> Iterator[Finding]:
    """All findings, in the order in which they are shown; ``quick`` leaves the backends untried."""
    if not quick and sys.stderr.isatty():
        print("asking the demo models ...", file=sys.stderr)
    trials = {} if quick else {name: Trial(name) for name in MODELS if _loadable(name)}
    yield from _versions()
    yield from _devices()
    yield from _backends(trials)
    yield _configuration()
    yield from _folders()
    yield from _terminal()


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings as aligned text, a heading for each section."""
    width = max((len(f.name) for f in findings), default=0)
    section = ""
    for finding in findings:
        if finding.section != section:
            yield from ([""] if section else []) + [finding.section]
            section = finding.section
        text = f"  {MARKS[finding.state]:<7}  {finding.name:<{width}}  {finding.text}"
        yield visible(text.rstrip())
        if finding.hint:
            yield visible(f"{'':<{width + 13}}{finding.hint}")


def _versions() -> Iterator[Finding]:
    def told(name: str, state: State, text: str) -> Finding:
        return Finding(section="versions", name=name, state=state, text=text)

    yield told("multigpu-repl", "ok", f"{__version__} in {Path(__file__).parent}")
    yield told("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield told("system", "ok", platform.platform())
    for name in PACKAGES:
        try:
            yield told(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield told(name, "note", "not installed")


def _devices() -> Iterator[Finding]:
    import psutil

    limit = cores.quota()
    granted = f", of which the system grants the time of {limit:g}" if limit is not None else ""
    memory = psutil.virtual_memory()
    yield Finding(
        section="devices",
        name="cpu",
        state="ok",
        text=f"{len(cores.allowed())} logical{granted}; {_gb(memory.available)} of {_gb(memory.total)} free",
    )
    found = devices.gpus()
    for gpu in found:
        text = f"{gpu.name}, {_gb(gpu.free_memory)} of {_gb(gpu.total_memory)} free"
        yield Finding(section="devices", name=gpu.id, state="ok", text=text)
    if not found:
        hidden = "CUDA_VISIBLE_DEVICES" in os.environ
        why = f"; CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}'" if hidden else ""
        yield Finding(section="devices", name="gpu", state="note", text=f"none that NVML can see{why}")
    yield from _torch(len(found))


def _torch(gpus: int) -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return
    answer, fault = _ask_torch()
    if fault:
        yield Finding(section="devices", name="torch", state="broken", text=f"cannot be imported: {fault}")
        return
    built = f"built for CUDA {answer['cuda']}" if answer["cuda"] else "built for the CPU"
    seen = f"{built}, uses {answer['devices']} GPUs and {answer['threads']} threads"
    if gpus > answer["devices"]:
        hint = "install the build of torch that fits the driver: https://pytorch.org/get-started/locally"
        yield Finding(
            section="devices", name="torch", state="broken", text=f"{seen}, but {gpus} are there", hint=hint
        )
    else:
        yield Finding(section="devices", name="torch", state="ok", text=seen)


def _ask_torch(patience: float = 120) -> tuple[dict[str, Any], str]:
    """What torch says of itself, or why it does not."""
    command = [sys.executable, "-P", "-c", _ASK_TORCH]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        return json.loads(told.stdout), ""
    except subprocess.TimeoutExpired:
        return {}, f"it does not answer within {patience:g} s"
    except ValueError:
        return {}, (told.stderr.strip().splitlines() or [f"it ended with status {told.returncode}"])[-1]


def _loadable(name: str) -> bool:
    """Whether nothing is known to keep the backend from working."""
    try:
        return name in registry.names() and not registry.missing(name)
    except Exception:  # whatever another package's module may raise; told with the backends
        return False


def _backends(trials: Mapping[str, Trial]) -> Iterator[Finding]:
    for name in registry.names():
        try:
            missing = registry.missing(name)
            summary = registry.find(name).summary
        except Exception as error:  # whatever another package's module may raise
            text = f"cannot be imported: {type(error).__name__}: {error}"
            yield Finding(section="backends", name=name, state="broken", text=text)
            continue
        if missing:
            lacking = ", ".join(r.module for r in missing)
            commands = "; ".join(dict.fromkeys(r.install for r in missing))
            hint = f"to add it: {commands}"
            yield Finding(section="backends", name=name, state="missing", text=f"needs {lacking}", hint=hint)
            continue
        if name == "fairseq":
            summary += f" ({install.fairseq_form()})"
        yield _tried(name, summary, trials.get(name))


def _tried(name: str, summary: str, trial: Trial | None) -> Finding:
    if trial is None:
        return Finding(section="backends", name=name, state="ok", text=summary)
    verdict = trial.verdict()
    if verdict.fault:
        text = f"its demo model does not answer: {verdict.fault}"
        return Finding(section="backends", name=name, state="broken", text=text, hint=verdict.hint)
    return Finding(section="backends", name=name, state="ok", text=f"{summary}; its demo model answers")


def _configuration() -> Finding:
    """What opens when nothing is asked for."""
    try:
        config = choose(Arguments())
    except ConfigError as error:
        return Finding(section="configuration", name="default", state="broken", text=str(error))
    text = f"{config.source}: {', '.join(config.models)}"
    return Finding(section="configuration", name="default", state="ok", text=text)


def _folders() -> Iterator[Finding]:
    folders = {
        "settings": paths.config_dir(),
        "record": paths.data_dir(),
        "cache": paths.cache_dir(),
        "reports": paths.state_dir(),
        "configs": paths.ready_configs(),
    }
    for name, folder in folders.items():
        if name == "configs":
            fault = "" if folder.is_dir() else "is missing: the installation is incomplete"
        else:
            fault = _write_fault(folder)
        state: State = "broken" if fault else "ok"
        yield Finding(section="folders", name=name, state=state, text=f"{folder} {fault}".rstrip())


def _write_fault(folder: Path) -> str:
    """Why nothing can be written to ``folder``; tried in its nearest parent when it does not exist yet."""
    try:
        there = next((f for f in (folder, *folder.parents) if f.exists()), folder)
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"


def _terminal() -> Iterator[Finding]:
    def told(name: str, state: State, text: str, hint: str = "") -> Finding:
        return Finding(section="terminal", name=name, state=state, text=text, hint=hint)

    term = os.environ.get("TERM", "")
    if not sys.stdout.isatty():
        yield told("output", "note", "not a terminal")
    elif term in ("", "dumb"):
        yield told(
            "output", "note", f"TERM is '{term}'", "line mode is used; a full terminal names its kind in TERM"
        )
    else:
        size = shutil.get_terminal_size()
        yield told("output", "ok", f"{term}, {size.columns} x {size.lines}")
    yield told("colours", "note", _colours(term))
    yield told("encoding", "ok" if _utf8() else "note", sys.stdout.encoding)
    if "TMUX" in os.environ:
        hint = "for copying: set -g set-clipboard on; for true colour: set -as terminal-features ',*:RGB'"
        yield told("tmux", "note", "this is a tmux window", hint)


def _colours(term: str) -> str:
    if os.environ.get("NO_COLOR"):
        return "off by NO_COLOR"
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "16 million"
    return "256" if "256" in term else "16 or fewer, as far as TERM tells"


def _utf8() -> bool:
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
