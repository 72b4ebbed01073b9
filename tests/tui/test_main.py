"""How the app is left: exit codes, and what is said once the screen is given back."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from repl.options import Options
from repl.session.frontend import Notice
from repl.session.record.store import Store
from repl.session.session import Session
from repl.tui import main
from repl.tui.app import ReplApp
from repl.tui.input.typeahead import TypeAhead
from tests.tui.support import ScriptedPool, configuration, replica

TROUBLE = Notice("warning", "the record cannot be written: \x1b[31mdisk full", "free some space")


@pytest.fixture
def screenless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app without a terminal; it is sent SIGTERM once its session is open."""
    run_async = ReplApp.run_async

    async def headless(self: ReplApp, **options: Any) -> int | None:
        return await run_async(self, headless=True, size=(80, 24))

    @asynccontextmanager
    async def open_session(*given: object) -> AsyncIterator[Session]:
        config = configuration("a")
        session = Session(config, ScriptedPool([replica("a")]), Store(None))
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            yield session
        finally:
            await session.close()
            session._tell.notice(TROUBLE)

    monkeypatch.setattr(ReplApp, "run_async", headless)
    monkeypatch.setattr(main, "open_session", open_session)


@pytest.mark.usefixtures("screenless")
async def test_sigterm_leaves_with_its_code_and_tells_what_went_wrong_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await main._main(configuration("a"), Options(), TypeAhead()) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "multigpu-repl: the record cannot be written: ␛[31mdisk full" in said
    assert "multigpu-repl: free some space" in said


def test_a_terminal_that_has_gone_is_not_put_back(monkeypatch):
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "__stdin__", terminal)
        keys = TypeAhead()
        keys.take()
        os.close(ours)
        keys.give_back()  # as when its window was closed: what follows it, ending the replicas, must happen
