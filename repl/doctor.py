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
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from backends import registry
from repl import __version__, cores, devices, exits, install, nvml, paths, torch_seen
from repl.config import Arguments, ConfigError, choose
from repl.safe import visible
from repl.trial import MODELS, Trial

State = Literal["ok", "note", "missing", "broken"]
MARKS: dict[State, str] = {"ok": "ok", "note": "-", "missing": "missing", "broken": "BROKEN"}

PACKAGES = (
    "msgspec", "textual", "prompt_toolkit", "torch", "transformers", "tokenizers", "safetensors", "fairseq",
    "hydra-core", "omegaconf", "ctranslate2", "numpy",
)  # fmt: skip


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
    yield from _driver()
    for gpu in found:
        free = "" if gpu.free_memory is None else f"{_gb(gpu.free_memory)} of "
        text = f"{gpu.name}, {free}{_gb(gpu.total_memory)}{' free' if free else ''}"
        yield Finding(section="devices", name=gpu.id, state="ok", text=text)
    if not found:
        hidden = "CUDA_VISIBLE_DEVICES" in os.environ
        why = f"; CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}'" if hidden else ""
        yield Finding(section="devices", name="gpu", state="note", text=f"none that NVML can see{why}")
    yield from _torch(found)


def _driver() -> Iterator[Finding]:
    """What NVIDIA's driver is, where there is one."""
    if fault := nvml.fault():
        hint = "restart the machine, or the container: driver and libraries must be of one version"
        yield Finding(section="devices", name="driver", state="broken", text=f"NVML: {fault}", hint=hint)
    elif told := nvml.driver():
        text = f"NVIDIA {told[0]}, for CUDA up to {told[1]}"
        yield Finding(section="devices", name="driver", state="ok", text=text)


def _torch(gpus: Sequence[devices.Device]) -> Iterator[Finding]:
    def told(state: State, text: str, hint: str = "", name: str = "torch") -> Finding:
        return Finding(section="devices", name=name, state=state, text=text, hint=hint)

    if importlib.util.find_spec("torch") is None:
        return
    # A process sees one partition of a GPU at most.
    parted = any(gpu.partition for gpu in gpus)
    seen, fault = torch_seen.ask(nvml.words()[0] if parted else None)
    if fault:
        yield told("broken", f"cannot be imported: {fault}")
        return
    built = f"built for CUDA {seen.cuda}" if seen.cuda else "built for the CPU"
    text = f"{built}, uses {seen.devices} GPUs and {seen.threads} threads"
    hint = "install the build of torch that fits the driver: https://pytorch.org/get-started/locally"
    if seen.devices < (1 if parted else len(gpus)):
        yield told("broken", f"{text}, but {len(gpus)} are there", hint)
    else:
        yield told("ok", text)
    for device, why in seen.faults.items():
        yield told("broken", f"torch cannot compute on it: {why}", hint, device)


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
