"""Batch runs as a user starts them: a process, echo replicas, files."""

import os
import subprocess

import pytest

from repl.batch.runner import seed_of_line
from tests.batch.conftest import Place
from tests.echo import PATIENCE


def test_answers_come_in_order_with_everything_to_reproduce_them(place: Place) -> None:
    lines = [f"line {n} " + "word " * (n % 7) for n in range(200)]
    place.input.write_text("\n".join(lines))
    done = place.run("--set", "seed=5", "--set", "max_new=4")
    assert (done.returncode, done.stdout) == (0, b"")
    records = place.records()
    assert [r["index"] for r in records] == list(range(200))
    assert [r["prompt"] for r in records] == lines
    assert records[6]["text"] == "line 6 word word"
    assert records[6]["token_ids"] == [0, 1, 2, 3]
    assert records[6]["finish"] == "length"
    assert records[6]["seed"] == records[6]["params"]["seed"] == seed_of_line(5, 6)
    assert records[6]["params"]["max_new"] == 4
    assert records[6]["model"] == "a"
    assert {r["replica"] for r in records} <= {"a/0", "a/1"}
    assert set(records[6]["timings"]) == {"queue", "first", "total"}
    assert b"200 lines" in done.stderr


def test_the_seed_of_a_line_is_a_fixed_function_of_seed_and_index() -> None:
    # printf 7:0 | b2sum -l 64, little-endian, without the lowest bit
    assert [seed_of_line(7, index) for index in range(2)] == [7127318741406446, 8483367915304847654]


def test_bad_lines_are_named_and_the_rest_is_done(place: Place) -> None:
    place.input.write_bytes(b"good\n\ncaf\xe9\n" + b"x" * 1_048_577 + b"\nlast one\n")
    done = place.run()
    assert done.returncode == 1
    records = place.records()
    assert [r.get("text") for r in records] == ["good", None, None, None, "last one"]
    assert [r["error"]["kind"] for r in records[1:4]] == ["empty_prompt", "bad_line", "prompt_too_long"]
    for number in (2, 3, 4):
        assert f"in.txt:{number}: ".encode() in done.stderr
    assert b"3 failed" in done.stderr


def test_a_prompt_the_model_refuses_is_its_lines_error(place: Place) -> None:
    place.input.write_text("word " * 5000 + "\nfine\n!raise 1\n!nan 0\n")
    assert place.run().returncode == 1
    kinds = [r["error"]["kind"] if "error" in r else r["text"] for r in place.records()]
    assert kinds == ["prompt_too_long", "fine", "internal", "nan_logits"]


def test_a_replica_that_dies_costs_no_line_but_the_one_that_kills_it(place: Place) -> None:
    place.input.write_text("".join(f"line {n}\n" for n in range(10)) + "!crash 1\n" + "after it\n" * 10)
    done = place.run()
    records = place.records()
    assert done.returncode == 1
    assert [r["index"] for r in records if "error" in r] == [10]
    assert records[10]["error"]["kind"] == "crashed"
    assert records[10]["tries"] == 3
    assert [r["text"] for r in records[11:]] == ["after it"] * 10
    assert b"SIGKILL" in done.stderr


def test_without_any_replica_the_run_stops_and_writes_no_error_lines(place: Place) -> None:
    place.configure(load_error="the disk ate it")
    place.input.write_text("one\ntwo\n")
    done = place.run()
    assert done.returncode == 3
    assert b"the disk ate it" in done.stderr
    assert place.output.read_bytes() == b""
    place.configure()
    assert place.run("--restart").returncode == 0


def test_objects_with_their_own_parameters(place: Place) -> None:
    place.input = place.folder / "in.jsonl"
    place.input.write_text(
        '{"prompt": "a b c", "params": {"max_new": 1}, "id": "x1"}\n'
        '{"prompt": "a b c", "params": {"seed": 11}}\n'
        '{"prompt": "a b c", "params": {"top_k": 5}}\n'
        '{"prompt": "a b c", "params": {"n": 2}}\n'
    )
    assert place.run("--set", "seed=1").returncode == 1
    first, second, third, fourth = place.records()
    assert (first["text"], first["input"]) == ("a", {"id": "x1"})
    assert second["seed"] == 11
    assert "top_k" in third["error"]["message"]
    assert [h["text"] for h in fourth["hypotheses"]] == ["a b c", "a b c"]


def test_an_answer_that_runs_out_of_time_is_what_there_is_by_then(place: Place) -> None:
    gate = place.folder / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDWR)
    os.write(held, b"...")  # the start and two tokens
    place.configure(gate=str(gate))
    place.input.write_text("a b c d\n")
    done = place.run("--set", "max_time=0.5")
    os.close(held)
    assert done.returncode == 0, done.stderr
    (record,) = place.records()
    assert (record["text"], record["finish"], record["token_ids"]) == ("a b", "time", [0, 1])


def test_a_setting_the_model_cannot_honour_is_refused_before_anything_is_written(place: Place) -> None:
    place.input.write_text("one\n")
    refused = place.run("--set", "top_k=3")
    assert refused.returncode == 2
    assert b"top_k" in refused.stderr
    assert not place.output.exists()


def test_several_models_answer_each_line(place: Place) -> None:
    place.input.write_text("one\ntwo\n")
    done = place.run("--compare", "a,b", "--format", "text", output="-")
    assert done.stdout == b"a\tone\nb\tone\na\ttwo\nb\ttwo\n"


def test_standard_input_to_standard_output(place: Place) -> None:
    command = [*place.command("--format", "text", output="-")]
    command[command.index("--input") + 1] = "-"
    done = subprocess.run(command, input=b"x y\n\nz", capture_output=True, timeout=60)
    assert done.stdout == b"x y\n\nz\n"
    assert b"standard input:2" in done.stderr
    assert done.returncode == 1


def test_at_a_terminal_it_says_that_it_waits_for_lines(place: Place) -> None:
    command = place.command("--format", "text", output="-")
    command[command.index("--input") + 1] = "-"
    ours, theirs = os.openpty()
    os.write(ours, b"one line\n\x04")
    done = subprocess.run(command, stdin=theirs, capture_output=True, timeout=PATIENCE)
    assert done.stdout == b"one line\n"
    first, last = done.stderr.decode().splitlines()
    assert "each line you type is a prompt; Ctrl+D ends them" in first and "--input FILE" in first
    assert last.startswith("multigpu-repl: 1 line, 2 tokens in ")
    os.close(ours)
    os.close(theirs)


def test_a_reader_that_leaves_early_ends_the_run_quietly(place: Place) -> None:
    place.input.write_text("word\n" * 5000)
    with subprocess.Popen(
        place.command("--format", "text", "--quiet", output="-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.readline() == b"word\n"
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait(timeout=PATIENCE) == 141


def test_the_input_is_not_overwritten(place: Place) -> None:
    place.input.write_text("precious\n")
    assert place.run("--restart", output=str(place.input)).returncode == 2
    assert place.input.read_text() == "precious\n"


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_an_input_that_cannot_be_read_is_named(place: Place, name: str) -> None:
    place.input = place.folder / name
    done = place.run()
    assert done.returncode == 2
    assert str(place.input).encode() in done.stderr


def test_a_terminal_is_not_obeyed_by_answers_or_errors(place: Place) -> None:
    place.input.write_bytes(b"\x1b]0;owned\x07 word\n!raise \x1b[31m\n")
    done = place.run()
    assert b"\x1b" not in done.stderr
    assert place.records()[0]["text"] == "\x1b]0;owned\x07 word"


def test_an_output_that_cannot_be_is_said_before_anything_starts(place: Place) -> None:
    place.input.write_text("a line\n")
    done = place.run(output="o" * 300)
    assert done.returncode == 2
    assert b"File name too long" in done.stderr and b"name another --output" in done.stderr


def test_a_prompt_that_cannot_be_sent_is_its_lines_error(place: Place) -> None:
    place.input = place.input.with_suffix(".jsonl")
    place.input.write_text('{"prompt": "a \\ud800"}\n{"prompt": "b", "params": {"stop": ["\\ud800"]}}\n')
    with place.input.open("a") as file:
        file.write('{"prompt": "c", "params": {"top_k": 1e30}}\n{"prompt": "fine"}\n')
    done = place.run()
    assert done.returncode == 1
    assert [r.get("text", r.get("error", {}).get("kind")) for r in place.records()] == [
        "bad_line", "bad_line", "bad_parameter", "fine"
    ]  # fmt: skip
