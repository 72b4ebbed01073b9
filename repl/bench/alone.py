"""A backend without the pool: a process that loads one model and runs rounds of prompts on demand.

Run as ``python -m repl.bench.alone``. It reads one JSON line, ``Job``, loads the model, prints ``ready``, and
then for each further line runs all prompts and prints ``Outcome`` as JSON.
"""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType

import msgspec

from backends import registry
from backends.base import BatchingEngine, Engine, Preparing
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
    lengths: list[int] = []
    """Tokens of each answer, where they differ; ``params`` says it for all otherwise."""
    together: int = 1
    """How many prompts a peer that knows batches takes at a time."""

    def each(self) -> list[tuple[str, Params]]:
        """The prompts with their settings."""
        if not self.lengths:
            return [(prompt, self.params) for prompt in self.prompts]
        own = [msgspec.structs.replace(self.params, max_new=n, min_new=n) for n in self.lengths]
        return list(zip(self.prompts, own, strict=True))


class Outcome(msgspec.Struct, frozen=True):
    """One round."""

    tokens: int
    seconds: float
    cpu: float = 0.0
    """Seconds of processor time."""

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Tokens a second of processor time, which other work on the machine does not take away."""
        return self.tokens / self.cpu


class Alone:
    """The parent's side: a context manager that runs the process, this module or one that speaks like it."""

    def __init__(self, job: Job, module: str = "repl.bench.alone") -> None:
        self._job = job
        self._module = module

    def __enter__(self) -> "Alone":
        command = [sys.executable, "-P", "-m", self._module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

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
    job = received()
    backend = registry.find(job.model.backend)
    engine = backend.load(job.model, job.device, job.threads, lambda stage, fraction: None)
    driver = Driver(prepared(engine))

    def once() -> Outcome:
        requests = [Request(id=i, model="", prompt=p, params=own) for i, (p, own) in enumerate(job.each())]
        return measured(partial(answer, driver, engine.capabilities.slots, requests))

    on_demand(once)


def prepared(engine: Engine) -> Engine:
    """The engine, once all that it does beside serving is done."""
    if isinstance(engine, Preparing) and isinstance(engine, BatchingEngine):
        woken = threading.Event()
        engine.attend(woken.set)
        while engine.preparing:
            woken.wait()
            woken.clear()
            engine.step()
    return engine


def received() -> Job:
    """What this process is for; it stays on the job's cores from now on."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    return job


def on_demand(once: Callable[[], Outcome]) -> None:
    """Run a round for each line that comes, until none comes any more."""
    print("ready", flush=True)
    for _ in sys.stdin.buffer:
        print(msgspec.json.encode(once()).decode(), flush=True)


def together(rounds: Iterable[Outcome]) -> Outcome:
    """Several rounds as one."""
    taken = list(rounds)
    return Outcome(
        sum(one.tokens for one in taken), sum(one.seconds for one in taken), sum(one.cpu for one in taken)
    )


def measured(run: Callable[[], int]) -> Outcome:
    """Call ``run``, which returns the number of its tokens."""
    began, cpu = time.perf_counter(), time.process_time()
    tokens = run()
    return Outcome(tokens, time.perf_counter() - began, time.process_time() - cpu)


def answer(driver: Driver, slots: int, requests: Sequence[Request]) -> int:
    """Have all requests answered, ``slots`` at a time; the number of tokens."""
    waiting, running, tokens = deque(requests), 0, 0
    while waiting or running:
        while waiting and running < slots:
            driver.admit(waiting.popleft())
            running += 1
        for event in driver.step():
            tokens += isinstance(event, Step)
            running -= isinstance(event, Finished | Failed)
            if isinstance(event, Failed):
                raise SystemExit(event.error.message)
    return tokens


if __name__ == "__main__":
    main()
