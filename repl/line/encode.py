"""Turns what the session tells into the events of ``repl.line.events``."""

import base64
import math

import msgspec

from repl import messages
from repl.line import events
from repl.probe.figure import Figure, as_json
from repl.session.exchange import Exchange
from repl.session.frontend import Notice, Output, Table


def line(event: events.JsonEvent) -> str:
    """One line of output, its end included."""
    return msgspec.json.encode(event).decode() + "\n"


def asked(exchange: Exchange, input_line: int) -> events.Asked:
    """The first event of an answer."""
    made = exchange.origin
    return events.Asked(
        id=exchange.id,
        input_line=input_line,
        model=exchange.model,
        prompt=exchange.prompt,
        params=msgspec.structs.asdict(exchange.params),
        origin=events.Origin(made.exchange, made.position, made.how) if made is not None else None,
    )


def of(exchange: Exchange, event: messages.Event) -> events.JsonEvent:
    """An event of the engine. The terminal one is asked for once ``exchange`` holds it."""
    match event:
        case messages.Started():
            return events.Started(
                id=exchange.id,
                prompt_ids=list(event.prompt_ids),
                prompt_text=event.prompt_text,
                truncated=event.truncated,
                notes=list(exchange.notes),
            )
        case messages.Step():
            return _step(exchange.id, event)
        case messages.Rewound():
            return events.Rewound(id=exchange.id, keep=event.keep)
        case _:
            return _ending(exchange, event)


def shown(output: Output, input_line: int | None = None) -> events.JsonEvent:
    """What a command shows."""
    match output:
        case Notice():
            return events.Remark(
                level=output.level, text=output.text, hint=output.hint, input_line=input_line
            )
        case Table():
            return events.Rows(
                title=output.title,
                columns=list(output.columns),
                rows=[list(row) for row in output.rows],
                notes=list(output.notes),
            )
        case Figure():
            return events.Drawn(figure=output.name, title=output.title, data=as_json(output))
        case _:
            return events.Words(title=output.title, text=output.text)


class _Numbers:
    """Replaces what is no number by null, and remembers what it was."""

    def __init__(self) -> None:
        self.nonfinite: dict[str, str] = {}

    def __call__(self, name: str, value: float | None) -> float | None:
        if value is None or math.isfinite(value):
            return value
        self.nonfinite[name] = str(value)
        return None


def _step(number: int, step: messages.Step) -> events.Step:
    finite = _Numbers()
    return events.Step(
        id=number,
        index=step.index,
        token=step.token,
        text=step.text,
        piece=_readable(step.piece),
        bytes=_base64(step.piece),
        raw_lp=finite("raw_lp", step.raw_lp),
        proc_lp=finite("proc_lp", step.proc_lp),
        search_lp=finite("search_lp", step.search_lp),
        rank=step.rank,
        entropy=finite("entropy", step.entropy),
        top=[
            events.Alternative(
                token=token,
                raw_lp=finite(f"top.{at}", raw_lp),
                piece=_readable(piece),
                bytes=_base64(piece),
            )
            for at, (token, raw_lp, piece) in enumerate(step.top)
        ],
        forced=step.forced,
        nonfinite=finite.nonfinite,
    )


def _readable(piece: bytes) -> str:
    return piece.decode(errors="backslashreplace")


def _base64(piece: bytes) -> str:
    return base64.b64encode(piece).decode()


def _ending(exchange: Exchange, event: messages.Terminal) -> events.JsonEvent:
    number, replica, timings, text = exchange.id, exchange.replica, _timings(exchange), exchange.answer.text
    match event:
        case messages.Finished(reason=reason):
            return events.Finished(
                id=number,
                replica=replica,
                timings=timings,
                text=text,
                reason=reason,
                hypotheses=[_hypothesis(hypothesis) for hypothesis in event.hypotheses],
            )
        case messages.Stopped(reason=reason):
            return events.Stopped(id=number, replica=replica, timings=timings, text=text, reason=reason)
        case messages.Failed(error=error):
            return events.Failed(id=number, replica=replica, timings=timings, text=text, error=_fault(error))
        case messages.Lost(error=error):
            return events.Lost(id=number, replica=replica, timings=timings, text=text, error=_fault(error))


def _timings(exchange: Exchange) -> events.Seconds:
    spent = exchange.timings
    if spent is None:
        return events.Seconds(queue=None, first=None, total=None)
    return events.Seconds(queue=spent.queue_seconds, first=spent.first_seconds, total=spent.total_seconds)


def _fault(error: messages.Error) -> events.Fault:
    return events.Fault(kind=error.kind, message=error.message, hint=error.hint, detail=error.detail)


def _hypothesis(hypothesis: messages.Hypothesis) -> events.Hypothesis:
    finite = _Numbers()
    return events.Hypothesis(
        text=hypothesis.text,
        tokens=list(hypothesis.tokens),
        score=finite("score", hypothesis.score),
        token_scores=[finite(f"token_scores.{at}", s) for at, s in enumerate(hypothesis.token_scores)],
        raw_text=hypothesis.raw_text,
        alignment=list(hypothesis.alignment),
        nonfinite=finite.nonfinite,
    )
