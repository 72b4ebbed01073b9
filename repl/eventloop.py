"""The event loop that everything asynchronous here runs on: libuv's, for cheaper wake-ups.

Every token of every replica wakes the coordinator, and waking is most of what a token costs it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

import uvloop

Result = TypeVar("Result")
Maker = Callable[[], asyncio.AbstractEventLoop]

new: Maker = uvloop.new_event_loop


def run(main: Coroutine[object, object, Result], loop: Maker = new) -> Result:
    """What ``main`` returns; see ``asyncio.run``."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
