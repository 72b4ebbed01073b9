"""What a process writes is kept, and its pipe closed, whatever happens meanwhile."""

import asyncio
import gc
import os

import pytest

from repl.pool.output import Output


async def test_the_last_lines_are_kept() -> None:
    read_end, write_end = os.pipe()
    output = Output()
    await output.listen(read_end)
    os.write(write_end, b"one\ntw\xffo\nthe end")
    os.close(write_end)
    await output.settle()
    assert output.lines == ["one", "tw\ufffdo", "the end"]


async def test_a_pipe_that_is_given_up_at_once_is_closed() -> None:
    read_end, write_end = os.pipe()
    listening = asyncio.create_task(Output().listen(read_end))
    await asyncio.sleep(0)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await asyncio.sleep(0)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    del listening
    gc.collect()  # a pipe that was left open complains now
