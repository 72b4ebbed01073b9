"""The process that compiles a step, so that the engine's own never waits for a compiler.

Started by ``backends.hf.compiled.packages`` as ``python -m backends.hf.compiler``. It reads a ``Job``
from its standard input, which stays open as long as the replica lives, and says on its standard output that
it is done, or why it failed. It leads a process group with the compilers it starts.
"""

import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

CODE, CALLS, CONSTANTS = "step.so", "step.json", "constants.pt"
"""What is compiled, what it calls of torch by name (torch looks for that beside it), numbers of its own."""
DONE = b"done"


class Job(NamedTuple):
    """What to do."""

    modules: list[str]
    """Where Python finds the network's."""
    folder: str
    """To write into; it is there, and what else there is beside it goes when the process ends."""
    threads: int
    """That the replica computes on."""
    outline: bytes
    """Of the step."""


def main() -> None:
    """Entry point of the process."""
    _make_way()
    source, answer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for used in (0, 1):  # what libraries print is no answer
        os.dup2(nowhere, used)
    try:
        job: Job = pickle.load(source)  # noqa: S301 - from the process that started this one
        threading.Thread(target=_end_with, args=(source,), name="end", daemon=True).start()
        sys.path[:] = job.modules
        _compile(job)
        said = DONE
    except BaseException as error:  # whatever it is, the replica wants to know
        said = (str(error).strip() or type(error).__name__).encode("utf-8", "replace")
    answer.write(said)
    answer.flush()
    os._exit(0)


def _make_way() -> None:
    """For all others, the replica first, if processor time or memory are scarce."""
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with(source: BinaryIO) -> None:
    """Thread: the end of the replica is the end of this process and of its compilers."""
    while source.read(1):
        pass
    os.killpg(0, signal.SIGKILL)


def _compile(job: Job) -> None:
    folder = Path(job.folder)
    made = folder.parent / "made" / CODE
    import torch
    from transformers.integrations import sdpa_attention

    from backends.hf.compiled import outline, packages

    # Else each step copies the keys and values that heads share, for the sake of shapes that vary.
    sdpa_attention.is_torchdynamo_compiling = lambda: False
    torch.set_num_threads(1)
    step = outline.loaded(job.outline)
    with torch.no_grad():
        program = torch.export.export(step.eager, step.inputs)
    torch._inductor.aot_compile(
        program.module(),
        step.inputs,
        options={
            "compile_threads": 1,
            "cpp.threads": job.threads,
            "aot_inductor.package_constants_in_so": False,
            "aot_inductor.precompile_headers": False,
            "aot_inductor.output_path": str(made),
        },
    )
    made.rename(folder / CODE)
    for calls in set(made.parent.glob("*.json")).difference(made.parent.glob("*_metadata.json")):
        calls.rename(folder / CALLS)
    own = dict(step.eager.named_buffers(remove_duplicate=False))
    others = {name: value for name, value in program.constants.items() if name not in own}
    torch.save(others, folder / CONSTANTS)
    packages.opened(folder, step)()  # if that ends a process, let it be this one


if __name__ == "__main__":
    main()
