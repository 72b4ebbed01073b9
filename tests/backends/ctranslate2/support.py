"""Drives an engine and puts its answers together as a front end does."""

from typing import Any

from repl.messages import Event, Failed, Finished, Request, Rewound, Started, Step
from repl.params import Params

SECONDS_OF_STEPS = 100_000
"""Steps after which an engine that does not end is at fault; each waits a moment for news."""


def request(prompt: str, number: int = 1, **more: Any) -> Request:
    own = {name: more.pop(name) for name in list(more) if name in Request.__struct_fields__}
    return Request(id=number, model="tiny", prompt=prompt, params=Params(**{"max_new": 12, **more}), **own)


def together(engine: Any, asked: list[Request]) -> list[list[Event]]:
    """The events of several requests that are there at once."""
    heard: dict[int, list[Event]] = {one.id: [] for one in asked}
    for one in asked:
        engine.admit(one)
    for _ in range(SECONDS_OF_STEPS):
        for event in engine.step():
            heard[event.id].append(event)
        if all(told and isinstance(told[-1], Finished | Failed) for told in heard.values()):
            return list(heard.values())
    raise AssertionError("the engine does not end")


class Told:
    """An answer; the order of its events is checked on the way."""

    def __init__(self, heard: list[Event]) -> None:
        first, *rest, last = heard
        assert isinstance(first, Started), first
        assert isinstance(last, Finished), last
        self.started, self.finished = first, last
        self.steps: list[Step] = []
        for event in rest:
            if isinstance(event, Rewound):
                assert 0 <= event.keep < len(self.steps)
                del self.steps[event.keep :]
            else:
                assert isinstance(event, Step)
                assert event.index == len(self.steps)
                self.steps.append(event)
        assert last.reading is not None or "".join(step.text for step in self.steps) == last.text

    @property
    def tokens(self) -> list[int]:
        return [step.token for step in self.steps]

    @property
    def text(self) -> str:
        return self.finished.text


def ask(engine: Any, asked: Request) -> Told:
    (heard,) = together(engine, [asked])
    return Told(heard)


def fault(engine: Any, asked: Request) -> Failed:
    (heard,) = together(engine, [asked])
    assert isinstance(heard[-1], Failed), heard[-1]
    return heard[-1]
