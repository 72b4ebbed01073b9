"""What a line of input came to, and the three ways to write it down.

``jsonl`` has everything. ``text`` is the bare answer, one line for each line of input. ``fairseq`` is what
``fairseq-interactive`` prints, for the scripts that read that. In these two a line break inside an answer is
written as ``␤``, so that one line stays one line, and a line that failed leaves an empty one or an ``E-``
line.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from repl.batch.source import Item
from repl.messages import Error, Finished, Hypothesis, Stopped
from repl.params import Params
from repl.pool import Timings
from repl.session.answer import Answer

_LINE_BREAKS = str.maketrans({"\n": "␤", "\r": "␍"})


class Record(msgspec.Struct, kw_only=True):
    """One model's answer to one line of input, or why there is none."""

    item: Item
    model: str
    params: Params | None = None
    """Effective, the seed included; None when it was never asked."""
    answer: Answer | None = None
    error: Error | None = None
    replica: str | None = None
    timings: Timings | None = None
    tries: int = 0
    """How often it was begun: more than one if a replica died over it."""
    hops: list["Record"] = []
    """What went before it in a chain."""

    @property
    def tokens(self) -> list[int]:
        """Ids of the answer."""
        if self.answer is None:
            return []
        if not self.answer.steps and self.answer.hypotheses:
            return list(self.answer.hypotheses[0].tokens)
        return [step.token for step in self.answer.steps]

    @property
    def hypotheses(self) -> Sequence[Hypothesis]:
        """Best first; an answer that came without a list of them is its own only one."""
        if self.answer is None or self.error is not None:
            return ()
        if self.answer.hypotheses:
            return self.answer.hypotheses
        steps = self.answer.steps
        scores = [step.search_lp if step.search_lp is not None else step.raw_lp for step in steps]
        known = tuple(score for score in scores if score is not None)
        whole = known if known and len(known) == len(steps) else ()
        return (
            Hypothesis(
                text=self.answer.text,
                tokens=tuple(step.token for step in steps),
                score=sum(whole) / len(whole) if whole else None,
                token_scores=whole,
            ),
        )


class Seconds(msgspec.Struct, omit_defaults=True):
    """How long an answer took, from its submission to the pool."""

    queue: float | None = None
    first: float | None = None
    """To the first token."""
    total: float | None = None


class Fault(msgspec.Struct):
    """``Error`` as an object with keys."""

    kind: str
    message: str
    hint: str


class Scored(msgspec.Struct):
    """One hypothesis of an n-best list. The score is the search's own, in nats."""

    text: str
    token_ids: list[int]
    score: float | None


class HopLine(msgspec.Struct):
    """One model's part in a chain, before the last."""

    model: str
    prompt: str
    text: str


class JsonLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A line of the ``jsonl`` format. Keys that do not apply are left out; a score of ``nan`` is null."""

    index: int
    """Of the line of input, from 0."""
    model: str
    prompt: str
    text: str | None = None
    token_ids: list[int] | None = None
    finish: str | None = None
    """``eos``, ``stop``, ``length`` or ``time``, of ``max_time``."""
    error: Fault | None = None
    """Instead of ``text``, ``token_ids`` and ``finish``."""
    replica: str | None = None
    seed: int | None = None
    params: dict[str, object] | None = None
    timings: Seconds | None = None
    """Seconds."""
    prompt_tokens: int | None = None
    truncated: int = 0
    """Tokens cut off the prompt."""
    tries: int = 1
    notes: list[str] = []
    hypotheses: list[Scored] = []
    """Where more than one was asked for."""
    hops: list[HopLine] = []
    """Of a chain: what went before."""
    input: dict[str, object] = {}
    """Other keys of the input's object."""


def as_json(record: Record) -> bytes:
    """The ``jsonl`` format."""
    item, answer, error = record.item, record.answer, record.error
    line = JsonLine(
        index=item.index,
        model=record.model,
        prompt=item.prompt,
        hops=[HopLine(h.model, h.item.prompt, h.answer.text if h.answer else "") for h in record.hops],
        input=item.carried,
        tries=max(1, record.tries),
    )
    if record.params is not None:
        line.params = msgspec.structs.asdict(record.params)
        line.seed = record.params.seed
    if record.timings is not None:
        spent = record.timings
        line.timings = Seconds(
            *map(_rounded, (spent.queue_seconds, spent.first_seconds, spent.total_seconds))
        )
    line.replica = record.replica
    if answer is not None and answer.started is not None:
        line.prompt_tokens = len(answer.started.prompt_ids)
        line.truncated = answer.started.truncated
        line.notes = list(answer.started.notes)
    if error is not None:
        line.error = Fault(error.kind, error.message, error.hint)
    elif answer is not None and isinstance(answer.terminal, Finished | Stopped):
        line.text = answer.text
        line.token_ids = record.tokens
        line.finish = answer.terminal.reason if isinstance(answer.terminal, Finished) else "time"
        if len(answer.hypotheses) > 1:
            line.hypotheses = [Scored(h.text, list(h.tokens), h.score) for h in answer.hypotheses]
    return msgspec.json.encode(line) + b"\n"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def as_text(record: Record) -> bytes:
    """The ``text`` format for one model."""
    text = record.answer.text if record.answer is not None and record.error is None else ""
    return text.translate(_LINE_BREAKS).encode() + b"\n"


def as_named_text(record: Record) -> bytes:
    """The ``text`` format where several models answer each line."""
    return record.model.encode() + b"\t" + as_text(record)


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """Of the ``fairseq`` format."""

    symbols: bool = False
    """``S-`` has the symbols the model read, not the text."""
    marks: bool = True
    """``H-`` has the subword marks."""
    alignment: Literal["", "hard", "soft"] = ""
    """With ``A-`` lines: pairs of places, or the weight of each source token for each token."""
    seconds: bool = False
    """With ``W-`` lines: the seconds a line took, from its beginning on a replica."""


_PLAIN = Style()


def as_fairseq(record: Record, style: Style = _PLAIN) -> bytes:
    """The ``fairseq`` format: ``S-`` source, ``C-`` constraints, ``H- D- P-`` for each hypothesis.

    Scores are to base 2, as fairseq prints them: that of a hypothesis as its search ranks it, then one for
    each token with the end token. Where a model has no search of its own they are the model's
    log-probabilities and their mean; where there are none, ``nan``.
    """
    index = record.item.index
    started = record.answer.started if record.answer is not None else None
    source = record.item.prompt
    if started is not None:
        source = (style.symbols and started.raw_prompt) or started.prompt_text
    lines = [f"S-{index}\t{source}"]
    if style.seconds and record.timings is not None and record.error is None:
        spent = (record.timings.total_seconds or 0.0) - (record.timings.queue_seconds or 0.0)
        lines.append(f"W-{index}\t{spent:.3f}\tseconds")
    if started is not None and record.params is not None:
        given = (style.symbols and started.raw_constraints) or record.params.constraints
        lines += [f"C-{index}\t{constraint}" for constraint in given]
    if record.error is not None:
        lines.append(f"E-{index}\t{record.error.kind}\t{record.error.message}")
    for hypothesis in record.hypotheses:
        score = _bits(hypothesis.score)
        raw = (style.marks and hypothesis.raw_text) or hypothesis.text
        lines.append(f"H-{index}\t{score}\t{raw}")
        lines.append(f"D-{index}\t{score}\t{hypothesis.text}")
        lines.append(f"P-{index}\t" + " ".join(f"{_bits(score):.4f}" for score in hypothesis.token_scores))
        if style.alignment:
            lines.append(f"A-{index}\t{_aligned(hypothesis, soft=style.alignment == 'soft')}")
    return "".join(f"{line.translate(_LINE_BREAKS)}\n" for line in lines).encode()


def _aligned(hypothesis: Hypothesis, *, soft: bool) -> str:
    if soft:
        return " ".join(",".join(f"{weight:.6f}" for weight in row) for row in hypothesis.attention)
    return " ".join(f"{source_at}-{target_at}" for source_at, target_at in hypothesis.alignment)


def _bits(score: float | None) -> float:
    return math.nan if score is None else score / math.log(2)


Writer = Callable[[Record], bytes]


def writer(name: str, models: int) -> Writer:
    """How the format called ``name`` is written when ``models`` models answer."""
    if name == "fairseq":
        return as_fairseq
    if name == "text":
        return as_text if models == 1 else as_named_text
    return as_json
