"""Peak memory is that of the process that is watched."""

import os
import subprocess
import sys

import pytest

from repl.bench import peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process")


def test_it_is_at_least_what_is_held_now():
    before = peak.of(os.getpid())
    assert before is not None
    held = bytearray(os.urandom(1) * (before + (64 << 20)))
    after = peak.of(os.getpid())
    assert after is not None and after >= len(held)


def test_a_process_that_is_gone_has_none():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert peak.of(process.pid) is None


def test_a_child_is_watched_to_its_end():
    program = "held = bytearray(b'x' * (96 << 20)); print('held', flush=True); input()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
        peak.Watch(process) as watch,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
    assert watch.bytes is not None and watch.bytes > 96 << 20
