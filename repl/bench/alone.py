"""A backend without the pool: a process that loads one model and runs rounds of prompts on demand.

Run as ``python -m repl.bench.alone``. It reads one JSON line, ``Job``, loads the model, prints ``ready``, and
then for each further line runs all prompts and prints ``Outcome`` as JSON.
"""

import os
import subprocess
import sys
import time
from types import TracebackType

import msgspec

from backends import registry
from repl.messages import Failed, Finished, ModelSpec, Request, Step
from repl.params import Params
from repl.pool.driver import Driver


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    model: ModelSpec
    prompts: list[str]
    params: Params
    device: str = "cpu"
    threads: int = 1
    cores: list[int] = []
    """To stay on; empty leaves that to the system."""


class Outcome(msgspec.Struct, frozen=True):
    """One round."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


class Alone:
    """The parent's side: a context manager that runs the process, this module or one that speaks like it."""

    def __init__(self, job: Job, module: str = "repl.bench.alone") -> None:
        self._job = job
        self._module = module

    def __enter__(self) -> "Alone":
        command = [sys.executable, "-P", "-m", self._module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self._say(msgspec.json.encode(self._job))
        self._hear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def round(self) -> Outcome:
        """Run all prompts once."""
        self._say(b"go")
        return msgspec.json.decode(self._hear(), type=Outcome)

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the benchmark's process for {self._job.model.name} ended; see its message above"
            )
        return line


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    backend = registry.find(job.model.backend)
    engine = backend.load(job.model, job.device, job.threads, lambda stage, fraction: None)
    driver = Driver(engine)
    print("ready", flush=True)
    for _ in sys.stdin.buffer:
        began, tokens = time.perf_counter(), 0
        waiting = [Request(id=i, model="", prompt=p, params=job.params) for i, p in enumerate(job.prompts)]
        running = 0
        while waiting or running:
            while waiting and running < engine.capabilities.slots:
                driver.admit(waiting.pop(0))
                running += 1
            for event in driver.step():
                tokens += isinstance(event, Step)
                running -= isinstance(event, Finished | Failed)
                if isinstance(event, Failed):
                    raise SystemExit(event.error.message)
        print(msgspec.json.encode(Outcome(tokens, time.perf_counter() - began)).decode(), flush=True)


if __name__ == "__main__":
    main()
