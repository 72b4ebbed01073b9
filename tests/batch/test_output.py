"""A file output survives being cut off anywhere, and goes on with nothing but the run it was begun by."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repl.batch import output as module
from repl.batch.errors import BatchError
from repl.batch.journal import SLOT, SYNCED, Header, Mark
from repl.batch.output import FileOutput

HEADER = Header(input="text", output="jsonl", seed=7, models={"m": {"path": "p", "parameters": {"beam": 5}}})


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


def after(mark: Mark, data: bytes) -> Mark:
    return Mark(lines=mark.lines + 1, end=mark.end + len(data), digest=f"d{mark.lines + 1}")


async def append(output: FileOutput, data: bytes) -> None:
    await output.append(data, after(output.mark, data))


def reopen(path: Path, header: Header = HEADER, *, restart: bool = False) -> FileOutput:
    return FileOutput(path, header, restart=restart)


@settings(max_examples=200, deadline=None)
@given(
    records=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6),
    kills=st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 20)), max_size=4),
)
async def test_nothing_is_lost_or_doubled_wherever_it_is_killed(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], kills: list[tuple[int, int]]
) -> None:
    """Each kill strikes in the writing of a record: before its mark (-1), or after so many of its bytes."""
    path = tmp_path_factory.mktemp("run") / "out"
    whole = module.write
    for at, bytes_written in kills:
        output = reopen(path)
        with pytest.MonkeyPatch.context() as patch:

            def torn(fd: int, data: bytes, reach: int = bytes_written) -> None:
                whole(fd, data[:reach])
                raise Killed

            for record in records[output.mark.lines :]:
                if output.mark.lines == at:
                    if bytes_written < 0:
                        break
                    patch.setattr(module, "write", torn)
                    with pytest.raises(Killed):
                        await append(output, record)
                    break
                await append(output, record)
        before = output.mark.lines
        completed = before < len(records) and before == at and bytes_written >= len(records[before])
        os.close(output._fd)
        output._journal.close()

        again = reopen(path)
        assert again.mark.lines == before + completed
        assert path.read_bytes() == b"".join(records[: again.mark.lines])
        await again.close()
    output = reopen(path)
    for record in records[output.mark.lines :]:
        await append(output, record)
    await output.close()
    assert path.read_bytes() == b"".join(records)


async def test_a_power_cut_goes_back_to_what_was_synced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output = reopen(path)
    await append(output, b"one\n")
    await output.close()
    output = reopen(path)
    await append(output, b"two\n")
    await append(output, b"three\n")
    os.ftruncate(output._fd, 5)  # the tail never reached the disk
    output._opened.close()
    assert reopen(path).mark.lines == 1
    assert path.read_bytes() == b"one\n"


async def test_a_torn_mark_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output = reopen(path)
    await append(output, b"one\n")
    await append(output, b"two\n")
    await output.close()
    journal = path.with_name("out.journal")
    data = bytearray(journal.read_bytes())
    base = data.index(b"\n") + 1
    for slot in (1, SYNCED):
        data[base + slot * SLOT + 20] ^= 1
    journal.write_bytes(data)
    assert reopen(path).mark.lines == 1
    assert path.read_bytes() == b"one\n"


async def test_the_seed_of_the_run_is_kept_where_none_is_asked_for(tmp_path: Path) -> None:
    free = msgspec.structs.replace(HEADER, seed=None)
    output = reopen(tmp_path / "out", free)
    await append(output, b"x")
    await output.close()
    assert reopen(tmp_path / "out", free).seed == output.seed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 8}, "seed was 7, now it is 8"),
        ({"output": "text"}, "output was jsonl, now it is text"),
        (
            {"models": {"m": {"path": "p", "parameters": {"beam": 1}}}},
            "models.m.parameters.beam was 5, now it is 1",
        ),
        ({"models": {}}, "models.m.path was p, now it is not set"),
    ],
)
async def test_other_settings_are_refused_and_named(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    output = reopen(tmp_path / "out")
    await append(output, b"x")
    await output.close()
    other = msgspec.structs.replace(HEADER, **change)
    with pytest.raises(BatchError) as refused:
        reopen(tmp_path / "out", other)
    assert says in refused.value.message
    assert (tmp_path / "out").read_bytes() == b"x"
    assert reopen(tmp_path / "out", other, restart=True).mark == Mark()
    assert (tmp_path / "out").read_bytes() == b""


async def test_a_file_of_unknown_origin_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious\n")
    with pytest.raises(BatchError, match="not as the output of an unfinished run"):
        reopen(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious\n"
    assert not (tmp_path / "out.journal").exists()


async def test_a_journal_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x\n")
    (tmp_path / "out.journal").write_text("diary\n")
    with pytest.raises(BatchError, match="not the journal"):
        reopen(tmp_path / "out")
    assert reopen(tmp_path / "out", restart=True).mark == Mark()


async def test_an_output_shorter_than_every_mark_is_refused(tmp_path: Path) -> None:
    output = reopen(tmp_path / "out")
    for _ in range(5):
        await append(output, b"line\n")
    await output.close()
    (tmp_path / "out").write_bytes(b"li")
    with pytest.raises(BatchError, match="shorter"):
        reopen(tmp_path / "out")


async def test_two_runs_do_not_share_an_output(tmp_path: Path) -> None:
    output = reopen(tmp_path / "out")
    with pytest.raises(BatchError, match="another run"):
        reopen(tmp_path / "out", restart=True)
    await output.close()
    await reopen(tmp_path / "out").close()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="No such file"):
        reopen(tmp_path / "none" / "out")
