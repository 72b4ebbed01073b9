"""What a replica process says of the memory it holds."""

import os

import psutil
import pytest

from repl.pool import memory
from tests.nvml import GB, Install


def test_on_a_cpu_it_is_resident_memory(gpus: Install) -> None:
    assert memory.used("cpu") == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_on_gpus_it_is_its_own_of_all_of_them(gpus: Install) -> None:
    gpus("GPU-a", "GPU-b").processes = {
        "GPU-a": {1: 5 * GB, os.getpid(): 2 * GB},
        "GPU-b": {os.getpid(): GB},
    }
    assert memory.used("cuda:0") == 3 * GB


def test_only_what_the_process_was_given_counts(gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    gpus("GPU-a", "GPU-b").processes = {"GPU-a": {os.getpid(): GB}, "GPU-b": {os.getpid(): 4 * GB}}
    assert memory.used("cuda:0") == 4 * GB


def test_the_other_ranks_of_a_group_count_too(gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    child = type("Child", (), {"pid": 7})
    monkeypatch.setattr(psutil.Process, "children", lambda self: [child])
    gpus("GPU-a", "GPU-b").processes = {"GPU-a": {os.getpid(): GB}, "GPU-b": {7: 2 * GB}}
    assert memory.used("cuda:0") == 3 * GB


def test_where_processes_are_not_told_apart_nothing_is_said(gpus: Install) -> None:
    gpus("GPU-a").processes = {"GPU-a": {1: 5 * GB}}
    assert memory.used("cuda:0") == 0
    gpus("GPU-a").processes = {"GPU-a": {os.getpid(): None}}
    assert memory.used("cuda:0") == 0
