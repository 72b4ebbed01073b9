"""Ends the program in good order when the system says so: batch runs, pipes and line mode."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence

from repl import eventloop

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    main: Coroutine[object, object, int],
    ending: Sequence[signal.Signals] = ENDING,
    loop: eventloop.Maker = eventloop.new,
) -> int:
    """What ``main`` returns, or 128 + the number of the signal that cancelled it, as shells have it.

    A second signal does not wait for the clean-up. A signal that was ignored at the start, as under
    ``nohup``, stays so.
    """

    async def guarded() -> int:
        running = asyncio.get_running_loop()
        task = asyncio.ensure_future(main)
        caught: list[int] = []

        def end(number: int) -> None:
            if caught:
                os._exit(128 + number)
            caught.append(number)
            task.cancel()

        heeded = [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]
        for number in heeded:
            running.add_signal_handler(number, end, number)
        try:
            return await task
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]
        finally:
            for number in heeded:
                running.remove_signal_handler(number)

    return eventloop.run(guarded(), loop)
