"""The process that compiles: it makes way, says why it failed, and never outlives the replica."""

import asyncio
import copy
import json
import os
import select
import signal
import subprocess
import sys
import threading

import pytest

torch = pytest.importorskip("torch")

from backends.hf.compiled import outline, packages, steps
from backends.hf.compiled.buffer import Buffer
from repl.messages import Finished, ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

CHILD = """
import json, os, subprocess, sys, time
from pathlib import Path
from backends.hf import compiler as child

def compile(job):
    {body}

child._compile = compile
child.main()
"""
HANGS = """
    compiler = subprocess.Popen(["sleep", "1000"])
    told = [os.getpid(), compiler.pid, os.nice(0), Path("/proc/self/oom_score_adj").read_text().strip()]
    Path(job.outline.decode()).write_text(json.dumps(told))  # a FIFO
    compiler.wait()
"""
REPLICA = """
import sys
from pathlib import Path
from backends.hf.compiled import packages
packages._COMPILER = (sys.executable, "-c", sys.argv[1])
packages.compile_into(Path(sys.argv[2]), sys.argv[3].encode(), 1)
"""


def child(monkeypatch, body):
    monkeypatch.setattr(packages, "_COMPILER", (sys.executable, "-c", CHILD.format(body=body)))


def ends(descriptors):
    """Wait for the end of processes: a descriptor of one that has ended can be read."""
    for descriptor in descriptors:
        assert select.select([descriptor], [], [], 20)[0], "a process goes on"
        os.close(descriptor)


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_it_ends_with_the_replica_and_its_compilers_with_it(fifo, tmp_path):
    script = CHILD.format(body=HANGS)
    with subprocess.Popen([sys.executable, "-c", REPLICA, script, tmp_path / "made", fifo]) as replica:
        process, compiler, nice, first_to_go = json.loads(fifo.read_text())
        assert (nice, first_to_go) == (19, "1000")
        watched = [os.pidfd_open(pid) for pid in (process, compiler)]
        replica.kill()
        ends(watched)


def test_its_compilers_end_with_it_and_the_replica_is_told(fifo, tmp_path, monkeypatch):
    child(monkeypatch, HANGS)
    said = []

    def compile_it():
        with pytest.raises(RuntimeError) as caught:
            packages.compile_into(tmp_path / "made", str(fifo).encode(), 1)
        said.append(str(caught.value))

    waiting = threading.Thread(target=compile_it)
    waiting.start()
    process, compiler, *_ = json.loads(fifo.read_text())
    watched = [os.pidfd_open(compiler)]
    os.kill(process, signal.SIGKILL)
    ends(watched)
    waiting.join(20)
    assert said == ["the process that compiles was ended"]


@pytest.mark.slow
async def test_a_replica_answers_while_it_is_at_work_and_leaves_none_of_it_behind(
    checkpoint, fifo, tmp_path, monkeypatch
):
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\necho [$$, $PPID] > {fifo}\nexec sleep 1000\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = {"engine": "compiled"}
    spec = ModelSpec(name="m", backend="hf", path=str(checkpoint("llama")), slots=1, options=options)
    async with Coordinator([ReplicaPlan(name="m/0", model=spec, device="cpu:0", threads=1)]) as pool:
        await pool.ready()
        pids = json.loads(await asyncio.to_thread(fifo.read_text))
        watched = [os.pidfd_open(pid) for pid in pids]
        end = await pool.submit(Request(model="m", prompt="the cat", params=Params(max_new=8))).wait()
        assert isinstance(end, Finished)
        [status] = pool.status()
        assert status.capabilities.notes[-1].startswith("compiled: 0 of 1 steps are ready")
    ends(watched)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no compiler at all')", "no compiler at all"),
        ("raise MemoryError", "MemoryError"),
        ("sys.exit('gone')", "gone"),
        ("print('done', flush=True); os._exit(0)", "the process that compiles was ended"),
    ],
)
def test_why_it_failed_is_said(body, said, tmp_path, monkeypatch):
    child(monkeypatch, body)
    with pytest.raises(RuntimeError, match=f"^{said}$"):
        packages.compile_into(tmp_path / "made", b"", 1)


def test_a_compiler_is_asked_for_only_where_something_is_to_be_compiled(network, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = network("llama")
    step = steps.Step(steps.Pass(model, 32), Buffer(model, 1, 32), 1)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"^there is no C\+\+ compiler no-such-compiler: install one"):
        packages.Package(step, 1).folder()
    monkeypatch.setenv("CXX", sys.executable)  # which is there, and not used
    child(monkeypatch, "Path(job.folder, child.CODE).write_text('code')")
    made = packages.Package(step, 1).folder()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert packages.Package(step, 1).folder() == made and (made / "step.so").read_text() == "code"


def test_it_finds_modules_where_the_replica_does(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/where/networks/are"])
    child(monkeypatch, "assert sys.path == job.modules and '/where/networks/are' in sys.path")
    packages.compile_into(tmp_path / "made", b"", 1)


class TestOutlines:
    def test_a_network_is_told_without_its_numbers(self, network):
        model = network("gpt2")  # whose first and last matrix are one
        step = steps.Step(steps.Pass(model, 32), Buffer(model, 2, 32), 2)
        dump = outline.dumped(step)
        assert len(dump) < 40_000 < sum(weight.nbytes for weight in model.parameters())
        told = outline.loaded(dump)
        mine = told.eager.network
        assert mine.get_input_embeddings().weight is mine.get_output_embeddings().weight
        for (name, a), (same, b) in zip(
            told.eager.named_parameters(), step.eager.named_parameters(), strict=True
        ):
            assert (name, a.shape, a.stride(), a.dtype) == (same, b.shape, b.stride(), b.dtype)
        assert told.inputs[0].tolist() == [[0], [0]]

    def test_small_tensors_are_told_whole_since_compilers_write_them_into_the_code(self, network):
        rotary = network("llama").model.rotary_emb
        assert outline.loaded(outline.dumped(rotary)).inv_freq.tolist() == rotary.inv_freq.tolist()

    def test_models_of_one_make_share_what_is_compiled_and_others_do_not(self, network, monkeypatch):
        llama = copy.deepcopy(network("llama"))

        def name(model=llama, rows=1, length=32, threads=1):
            step = steps.Step(steps.Pass(model, length), Buffer(model, rows, length), rows)
            return packages._name(step, threads)

        first = name()
        with torch.no_grad():
            for weight in llama.parameters():
                weight.mul_(1.5)
        assert name() == first
        others = [name(network("qwen3")), name(rows=2), name(length=33), name(threads=2)]
        monkeypatch.setattr(llama.config, "rms_norm_eps", 0.5)
        others.append(name())
        monkeypatch.setattr(llama.model.rotary_emb, "inv_freq", torch.tensor([1.0, 0.5, 0.1, 0.2]))
        others.append(name())
        monkeypatch.setattr(packages, "_processor", lambda: "another")
        others.append(name())
        assert len({first, *others}) == 8
