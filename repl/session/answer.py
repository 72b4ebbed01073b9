"""An answer as it grows: the events of one request folded into a text."""

from typing import Literal

from repl.messages import (
    Event,
    Failed,
    Finished,
    Hypothesis,
    Lost,
    Rewound,
    Started,
    Step,
    Stopped,
    Terminal,
)

AnswerState = Literal["waiting", "streaming", "finished", "stopped", "failed", "lost"]


class Answer:
    """Everything one request gave back so far."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.steps: list[Step] = []
        self.terminal: Terminal | None = None
        self.rewrites = 0
        """How often a beam withdrew tokens that had been shown."""
        self._text: str | None = ""

    def feed(self, event: Event) -> None:
        """Take the next event. A second ``Started`` (the request moved to another replica) starts afresh."""
        match event:
            case Step():
                self.steps.append(event)
            case Rewound():
                if event.keep < len(self.steps):
                    del self.steps[event.keep :]
                    self.rewrites += 1
            case Started():
                self.started = event
                self.steps.clear()
            case _:
                self.terminal = event
        self._text = None

    @property
    def text(self) -> str:
        """What is visible so far; once finished, the text the engine declared final."""
        if self._text is None:
            if isinstance(self.terminal, Finished):
                self._text = self.terminal.text
            else:
                self._text = "".join(step.text for step in self.steps)
        return self._text

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The n-best list, best first; empty until finished, and where the answer is just its steps."""
        return self.terminal.hypotheses if isinstance(self.terminal, Finished) else ()

    @property
    def state(self) -> AnswerState:
        """How far it is."""
        match self.terminal:
            case None:
                return "streaming" if self.steps else "waiting"
            case Finished():
                return "finished"
            case Stopped():
                return "stopped"
            case Failed():
                return "failed"
            case Lost():
                return "lost"
