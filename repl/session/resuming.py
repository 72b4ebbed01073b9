"""Takes up a recorded session, and says what a session is set to, for the record."""

from typing import TYPE_CHECKING

from repl.session.record.store import Saved, State

if TYPE_CHECKING:
    from repl.session.session import Session


def state(session: "Session") -> State:
    """What it is set to now."""
    return State(
        settings=dict(session.settings),
        comparison=tuple(session.comparison),
        system=session.system,
        template=session.template,
        fresh=tuple(model for model in session.models if session.conversations.of(model).head is None),
    )


def take_up(session: "Session", saved: Saved) -> None:
    """Give a session the exchanges, the conversations and the settings of a recorded one."""
    session.exchanges[:] = saved.exchanges
    for exchange in saved.exchanges:
        if exchange.origin is None:
            session.conversations.advance(exchange)
    for model in saved.state.fresh:
        session.conversations.reset(model)
    known = [name for name in saved.state.comparison if name in session.models]
    session.comparison = known or session.comparison
    session.settings = dict(saved.state.settings)
    session.system = saved.state.system
    session.template = saved.state.template
