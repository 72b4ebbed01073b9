"""Pipes as a shell has them: a process, standard input and output."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil
import pytest

from repl.line import events
from tests.echo import PATIENCE, EchoFolder


class Shell(EchoFolder):
    """Starts pipes."""

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "repl", "--config", str(self.config), "--no-record", *options]

    def run(self, text: str | bytes, *options: str) -> "subprocess.CompletedProcess[bytes]":
        data = text.encode() if isinstance(text, str) else text
        return subprocess.run(self.command(*options), input=data, capture_output=True, timeout=PATIENCE)

    def events(self, text: str, *options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(text, "--json", *options).stdout.splitlines()]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def gate(shell: Shell) -> Iterator[int]:
    """Each byte written to it lets one event of model ``a`` out."""
    path = shell.folder / "gate"
    os.mkfifo(path)
    shell.configure(gate=str(path))
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def read(stream: IO[bytes] | None, count: int) -> bytes:
    """So many bytes, or a failure instead of waiting for ever."""
    assert stream is not None
    got = b""
    while len(got) < count:
        assert select.select([stream], [], [], 30)[0], f"only {got!r} came"
        chunk = os.read(stream.fileno(), count - len(got))
        assert chunk, f"it ended after {got!r}"
        got += chunk
    return got


def test_one_model_gives_bare_answers_in_order(shell: Shell) -> None:
    shell.configure(replicas=3)
    lines = [f"line {n} " + "word " * (n % 5) + "end" for n in range(100)]
    done = shell.run("\n".join(lines))
    assert done.stdout.decode().splitlines() == lines
    assert (done.returncode, done.stderr) == (0, b"")


def test_at_a_terminal_it_says_that_it_waits_for_lines(shell: Shell) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"one line\n\x04")
    done = subprocess.run(shell.command(), stdin=theirs, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, b"one line\n")
    assert done.stderr == b"multigpu-repl: each line you type is a prompt; Ctrl+D ends them\n"
    os.close(ours)
    os.close(theirs)


def test_several_models_give_their_names(shell: Shell) -> None:
    shell.configure(compare="b, a")
    assert shell.run("one\ntwo\n").stdout == b"b\tone\na\tone\nb\ttwo\na\ttwo\n"


def test_an_address_reaches_models_that_are_not_chosen(shell: Shell) -> None:
    assert (
        shell.run("one\n@b two\n@a,b three\n@@b four\n").stdout == b"one\ntwo\na\tthree\nb\tthree\n@b four\n"
    )


def test_commands_are_obeyed_in_their_place_and_speak_on_stderr(shell: Shell) -> None:
    done = shell.run(
        "one two three\n/set max_new 1\none two three\n/use b\n/set max_new default\nfour five\n"
    )
    assert done.stdout == b"one two three\none\nfour five\n"
    assert b"max_new" in done.stderr
    assert done.returncode == 0


def test_a_table_stands_under_its_title(shell: Shell) -> None:
    first, head, rule, *rows = shell.run("/params\n").stderr.decode().splitlines()
    assert first == "multigpu-repl: effective parameters"
    assert head.split() == ["parameter", "a"] and set(rule) == {"─", " "}
    assert rows[0].split()[:2] == ["temperature", "0"] and rows[0].index("0") == head.index("a", 9)


def test_what_follows_quit_is_not_read(shell: Shell) -> None:
    assert shell.run("one\n/quit\ntwo\n").stdout == b"one\n"


FAULTS = {
    b"/sett max_new 3": b"did you mean /set",
    b"/set max_new many": b"max_new",
    b"@nobody hello": b"nothing is called @nobody",
    b"caf\xe9": b"byte 0xe9 at position 4",
    b"x" * 1_048_577: b"1,048,577 bytes",
    b"!raise 0": b"asked for by the prompt",
    b"!crash 1": b"SIGKILL",
}


def test_lines_that_fail_are_told_and_the_rest_is_answered(shell: Shell) -> None:
    done = shell.run(b"".join(b"before\n" + line + b"\n" for line in FAULTS) + b"after\n")
    answers = done.stdout.splitlines()
    assert answers.count(b"before") == len(FAULTS)
    assert answers[-1] == b"after"
    for says in FAULTS.values():
        assert says in done.stderr
    assert done.returncode == 1


def test_an_empty_line_is_left_out_with_a_word(shell: Shell) -> None:
    done = shell.run("one\n\ntwo\n")
    assert done.stdout == b"one\ntwo\n"
    assert b"line 2 is empty" in done.stderr
    assert done.returncode == 0


def test_nothing_in_gives_nothing_out(shell: Shell) -> None:
    done = shell.run("")
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_without_a_model_the_exit_code_says_so(shell: Shell) -> None:
    shell.configure(load_error="the disk ate it")
    done = shell.run("hello\n")
    assert (done.stdout, done.returncode) == (b"", 3)
    assert b"the disk ate it" in done.stderr


def test_a_beam_that_changes_its_mind_is_only_written_once(shell: Shell) -> None:
    assert shell.run("/set beam 3\none two three four\n").stdout == b"one two three four\n"


def test_answers_are_raw_and_diagnostics_are_not(shell: Shell) -> None:
    done = shell.run("\x1b[31m red\n/set \x1b[31m 1\n")
    assert done.stdout == b"\x1b[31m red\n"
    assert b"\x1b" not in done.stderr


def test_an_answer_streams_while_its_line_is_the_first_in_order(shell: Shell, gate: int) -> None:
    with subprocess.Popen(shell.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pipe:
        assert pipe.stdin is not None
        pipe.stdin.write(b"one two\n")
        pipe.stdin.flush()
        os.write(gate, b"..")  # started, and one token
        assert read(pipe.stdout, 3) == b"one"
        os.write(gate, b".")
        assert read(pipe.stdout, 4) == b" two"
        os.write(gate, b".")
        assert read(pipe.stdout, 1) == b"\n"
        pipe.stdin.close()
        assert pipe.wait(timeout=PATIENCE) == 0


def test_a_remark_stands_after_the_answer_where_both_go_to_one_place(shell: Shell, gate: int) -> None:
    with subprocess.Popen(
        shell.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        assert run.stdin is not None and run.stdout is not None
        run.stdin.write(b"!raise 1\n")
        run.stdin.flush()
        os.write(gate, b"..")
        assert read(run.stdout, 6) == b"!raise"
        os.write(gate, b"." * 8)
        run.stdin.close()
        assert run.stdout.read().startswith(b"\nmultigpu-repl: ")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_at_once_and_leaves_no_process(
    shell: Shell, gate: int, number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        shell.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as pipe:
        assert pipe.stdin is not None and pipe.stderr is not None
        pipe.stdin.write(b"one two three\n")
        pipe.stdin.flush()
        os.write(gate, b"..")
        assert read(pipe.stdout, 3) == b"one"
        children = psutil.Process(pipe.pid).children()
        assert children
        pipe.send_signal(number)
        assert pipe.wait(timeout=PATIENCE) == code
        assert pipe.stderr.read() == b""
        assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []


def test_a_reader_that_leaves_early_ends_it_quietly(shell: Shell) -> None:
    with subprocess.Popen(
        shell.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as pipe:
        assert pipe.stdin is not None and pipe.stdout is not None and pipe.stderr is not None
        pipe.stdin.write(b"word\n")
        pipe.stdin.flush()
        assert read(pipe.stdout, 5) == b"word\n"
        pipe.stdout.close()
        pipe.stdin.write(b"word\n" * 100)  # its writer goes on and is not waited for
        pipe.stdin.flush()
        assert pipe.wait(timeout=PATIENCE) == 141
        assert pipe.stderr.read() == b""


# -- JSON -------------------------------------------------------------------------------------------------


def test_json_is_the_documented_schema_and_in_order(shell: Shell) -> None:
    shell.configure(compare="a, b")
    text = "one two\n/set beam 2\none two three\n/params\n/nonsense\n\n@a !raise 1\n"
    done = shell.run(text, "--json")
    decoder = msgspec.json.Decoder(events.JsonEvent)
    decoded = [decoder.decode(line) for line in done.stdout.splitlines()]
    assert done.stderr == b""
    assert done.returncode == 1
    for line, event in zip(done.stdout.splitlines(), decoded, strict=True):
        assert msgspec.json.encode(event) == line
    answers = [event for event in decoded if isinstance(event, events.Asked)]
    assert [(event.input_line, event.model) for event in answers] == [
        (1, "a"),
        (1, "b"),
        (3, "a"),
        (3, "b"),
        (7, "a"),
    ]
    kinds = [type(event).__name__ for event in decoded]
    assert kinds[:5] == ["Asked", "Started", "Step", "Step", "Finished"]
    assert "Rewound" in kinds and "Rows" in kinds
    remarks = [event for event in decoded if isinstance(event, events.Remark)]
    assert [(event.level, event.input_line) for event in remarks[-2:]] == [("error", 5), ("warning", 6)]
    assert isinstance(decoded[-1], events.Failed)
    assert decoded[-1].error.message == "asked for by the prompt"
    assert decoded[-1].text == "!raise"


def test_the_steps_of_a_json_answer_rebuild_it(shell: Shell) -> None:
    found = shell.events("/set beam 2\na b c d e f g\n")
    text: list[str] = []
    for event in found:
        if event["event"] == "step":
            assert event["index"] == len(text)
            text.append(event["text"])
        elif event["event"] == "rewound":
            del text[event["keep"] :]
    assert "".join(text) == found[-1]["text"] == "a b c d e f g"


def test_a_record_is_kept_unless_it_is_declined(shell: Shell, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    command = [word for word in shell.command() if word != "--no-record"]
    subprocess.run(command, input=b"remember me\n", env=environment, check=True, timeout=60)
    found = subprocess.run(
        command, input=b"/history remember\n", env=environment, capture_output=True, check=True, timeout=60
    )
    assert b"remember me" in found.stderr
