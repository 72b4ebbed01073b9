"""What a replica process may never do: outlive its parent, write to the terminal, see others' devices."""

import json
import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from backends.faults import BROKEN
from repl.messages import Failed, Finished, ModelSpec
from repl.pool import Coordinator, Limits, ReplicaPlan, local
from repl.pool.local import environment
from repl.pool.nursery import Nursery
from repl.pool.vitals import obituary
from tests.nvml import Install
from tests.pool.conftest import ask, plans

PARENT = """
import asyncio, json, sys, time
from repl.messages import ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

async def main():
    spec = ModelSpec(name="e", backend="echo", path="", options={"faults": True})
    plans = [ReplicaPlan(name=f"e/{i}", model=spec, device="cpu:0") for i in range(2)]
    async with Coordinator(plans) as pool:
        await pool.ready()
        hung = pool.submit(Request(model="e", prompt="!hang 1", params=Params()))
        async for event in hung:
            if type(event).__name__ == "Step":
                break
        print(json.dumps([s.pid for s in pool.status()]), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_replicas_leave_when_their_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        watched = [os.pidfd_open(pid) for pid in pids]
        parent.kill()
        for descriptor in watched:  # readable once the process has ended
            assert select.select([descriptor], [], [], 20)[0], "a replica outlived its parent"
            os.close(descriptor)


async def test_what_a_child_writes_is_kept_for_its_obituary(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
        import sys
        print("\\x1b[31mto stdout")
        print("to stderr", file=sys.stderr)
        sys.stdout.flush()
        import os; os._exit(3)
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with Coordinator(plans(), limits=Limits(deaths=1)) as pool:
        end = await pool.submit(ask("x")).wait()
    assert isinstance(end, Failed)
    assert "status 3" in end.error.message
    assert "to stdout" in end.error.detail and "to stderr" in end.error.detail
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def env(device: str) -> dict[str, str]:
    spec = ModelSpec(name="m", backend="echo", path="")
    return environment(ReplicaPlan(name="m/0", model=spec, device=device, threads=3))


def test_each_child_sees_its_own_device_alone(gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-abc")
    assert env("cuda:0")["CUDA_VISIBLE_DEVICES"] == "4"
    assert env("cuda:1")["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert env("cpu:0")["CUDA_VISIBLE_DEVICES"] == ""
    assert env("cuda:1+cuda:0")["CUDA_VISIBLE_DEVICES"] == "GPU-abc,4"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert env("cuda:2+cuda:3")["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert env("cuda:1")["CUDA_VISIBLE_DEVICES"] == "1"
    assert env("cuda:1")["OMP_NUM_THREADS"] == "3"


def test_a_child_counts_gpus_as_the_plan_does(gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    gpus("GPU-a", "GPU-b")
    assert (env("cuda:1")["CUDA_VISIBLE_DEVICES"], env("cuda:1")["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")


def test_a_child_is_no_rank_of_the_job_we_are_in(gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "NCCL_DEBUG"):
        monkeypatch.setenv(name, "1")
    assert env("cuda:0").keys() & {"RANK", "WORLD_SIZE", "MASTER_ADDR"} == set()
    assert env("cuda:0").keys() & {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY"} == set()
    assert env("cuda:0")["NCCL_DEBUG"] == "1"


def test_a_child_gets_its_partition_by_name(gpus: Install) -> None:
    gpus("GPU-a", "GPU-b").partitions = {"GPU-a": ["MIG-x", "MIG-y"]}
    assert [env(f"cuda:{n}")["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["MIG-x", "MIG-y", "GPU-b"]


def test_the_last_words_of_a_process_that_gave_up_are_the_reason() -> None:
    error = obituary("m/0", BROKEN, "the process ended", ["loading", "the GPU is lost: bad address"])
    assert error.message == "replica m/0 gave up: the GPU is lost: bad address"
    assert obituary("m/0", BROKEN, "the process ended", []).message == (
        "replica m/0 ended with status 70 (the process ended)"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no way to do it")
@pytest.mark.parametrize("forked", [False, True])
async def test_a_process_is_seen_under_its_replicas_name(forked: bool) -> None:
    async with Nursery() as nursery:
        launch = nursery.launch if forked else local.launch
        async with Coordinator(plans(2), launch=launch) as pool:
            await pool.ready()
            seen = [psutil.Process(status.pid) for status in pool.status()]
            assert [" ".join(one.cmdline()).strip() for one in seen] == [
                "echo/0 on cpu:0 of multigpu-repl",
                "echo/1 on cpu:1 of multigpu-repl",
            ]
            assert [one.name() for one in seen] == ["echo/0 on cpu:0", "echo/1 on cpu:1"]
            assert isinstance(await pool.submit(ask("x")).wait(), Finished)
