"""Runs that were cut off go on where they were, and only as they were begun."""

import os
import select
import signal
import subprocess

import pytest

from tests.batch.conftest import Place, same, until
from tests.echo import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_where_it_was(place: Place, number: signal.Signals) -> None:
    place.input.write_text("".join(f"line {n}\n" for n in range(40)))
    assert place.run("--set", "seed=3").returncode == 0
    whole = place.records()
    place.output.unlink()

    gate = place.folder / "gate"
    os.mkfifo(gate)
    place.configure(gate=str(gate))
    place.output.with_name("out.jsonl.journal").unlink()
    descriptor = os.open(gate, os.O_RDWR)

    def five_lines_are_out() -> bool:
        # One event at a time: of a fixed number one replica may take all, and the other's line never ends;
        # and none before the last was taken, else enough for all lines gathers while the replicas start.
        if not select.select([descriptor], [], [], 0)[0]:
            os.write(descriptor, b".")
        return place.output.exists() and place.output.read_bytes().count(b"\n") >= 5

    with subprocess.Popen(place.command("--set", "seed=3"), stderr=subprocess.PIPE) as first:
        until(five_lines_are_out, first)
        first.send_signal(number)
        _, said = first.communicate(timeout=PATIENCE)
    assert first.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert (b"the same command goes on" in said) == (number != signal.SIGKILL)
    kept = place.output.read_bytes()
    assert 5 <= kept.count(b"\n") < 40

    os.write(descriptor, b"." * 4 * 40)
    done = place.run("--set", "seed=3")
    assert done.returncode == 0, done.stderr
    assert place.output.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    assert same(place.records()) == same(whole)
    os.close(descriptor)


def test_a_finished_run_has_nothing_more_to_do_and_loads_nothing(place: Place) -> None:
    place.input.write_text("one\ntwo\n")
    assert place.run().returncode == 0
    before = place.output.read_bytes()
    place.configure(load_error="must not be loaded")
    refused = place.run()
    assert refused.returncode == 2  # other options of the model: another run
    place.configure()
    again = place.run()
    assert again.returncode == 0
    assert b"2 of them earlier" in again.stderr
    assert place.output.read_bytes() == before


def test_lines_added_to_the_input_are_answered_by_the_same_command(place: Place) -> None:
    place.input.write_text("one\ntwo\n")
    place.run()
    place.input.write_text("one\ntwo\nthree\n")
    assert place.run().returncode == 0
    assert [r["text"] for r in place.records()] == ["one", "two", "three"]


@pytest.mark.parametrize("changed", ["one\nTWO\nthree\n", "one\n"])
def test_a_changed_input_is_refused(place: Place, changed: str) -> None:
    place.input.write_text("one\ntwo\n")
    place.run()
    before = place.output.read_bytes()
    place.input.write_text(changed)
    refused = place.run()
    assert refused.returncode == 2
    assert b"--restart" in refused.stderr
    assert place.output.read_bytes() == before
    assert place.run("--restart").returncode == 0
    assert len(place.records()) == changed.count("\n")


def test_a_full_disk_says_so_and_the_run_goes_on_later(place: Place) -> None:
    place.input.write_text("".join(f"line {n}\n" for n in range(50)))
    limited = f"ulimit -f 8; trap '' XFSZ; exec {' '.join(place.command('--set seed=1'))}"
    done = subprocess.run(["/bin/bash", "-c", limited], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"File too large" in done.stderr and b"run the same command again" in done.stderr
    assert place.run("--set", "seed=1").returncode == 0
    assert [r["index"] for r in place.records()] == list(range(50))


def test_a_run_goes_on_with_the_same_chain_only(place: Place) -> None:
    place.input.write_text("x\n")
    assert place.run("--chain", "a>b").returncode == 0
    place.input.write_text("x\ny\n")
    other = place.run("--chain", "b>a")
    assert other.returncode == 2 and b"chain was a>b, now it is b>a" in other.stderr
    assert place.run("--chain", "a>b").returncode == 0
    assert [record["text"] for record in place.records()] == ["x", "y"]
