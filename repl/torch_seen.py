"""What torch makes of the devices, asked of a process of its own: none that draws holds torch."""

import json
import os
import subprocess
import sys

import msgspec

_QUESTION = """
import json, torch
faults = {}
for index in range(torch.cuda.device_count()):
    try:
        (torch.ones(1, device=f"cuda:{index}") + 1).item()
    except Exception as error:
        faults[f"cuda:{index}"] = (str(error).strip().splitlines() or [type(error).__name__])[0]
seen = {"cuda": torch.version.cuda, "devices": torch.cuda.device_count(), "threads": torch.get_num_threads()}
print(json.dumps({**seen, "faults": faults}))
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What it says."""

    cuda: str | None = None
    """The version it was built for; None for the CPU."""
    devices: int = 0
    threads: int = 0
    faults: dict[str, str] = {}
    """Why it cannot compute on some of the devices, by their ids."""


def ask(visible: str | None = None, patience: float = 120) -> tuple[Seen, str]:
    """What torch says, or why it does not, with just the devices of ``visible`` (CUDA_VISIBLE_DEVICES)."""
    env = dict(os.environ)
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    command = [sys.executable, "-P", "-c", _QUESTION]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False, env=env)
        return msgspec.convert(json.loads(told.stdout), Seen), ""
    except subprocess.TimeoutExpired:
        return Seen(), f"it does not answer within {patience:g} s"
    except ValueError:
        return Seen(), (told.stderr.strip().splitlines() or [f"it ended with status {told.returncode}"])[-1]
