"""The events that ``--json`` prints, one object a line. ``event`` says which one it is.

An answer's events come together and in the order of asking: ``asked``, ``started``, any number of ``step``
and ``rewound``, and then exactly one of ``finished``, ``stopped``, ``failed`` and ``lost``. What a command
shows comes as ``notice``, ``table``, ``text`` or ``figure``. Log-probabilities are in nats. JSON has no
infinities: a value that is no number is null, and ``nonfinite`` tells what it was. Later versions may add
keys and events.
"""

from typing import Any

import msgspec

from repl.params import Value


class _Line(msgspec.Struct, tag_field="event", kw_only=True):
    """What all lines have."""


class Asked(_Line, tag="asked"):
    """A line of input was sent to a model."""

    id: int
    """The exchange's number in the record; all its events have it."""
    input_line: int
    """From 1."""
    model: str
    prompt: str
    params: dict[str, Value]
    """Effective, the seed included."""
    origin: "Origin | None" = None
    """What a command made it from; null for a typed line."""


class Origin(msgspec.Struct, frozen=True):
    """What an answer was made from."""

    id: int | None
    """The number of another answer."""
    position: int
    """The token where the two part."""
    how: str
    """``branch``, ``chain`` ..."""


class Started(_Line, tag="started"):
    """The model has begun."""

    id: int
    prompt_ids: list[int]
    prompt_text: str
    """After template and truncation."""
    truncated: int
    """Tokens of the prompt that were cut off."""
    notes: list[str]


class Alternative(msgspec.Struct, kw_only=True):
    """A token that could have come."""

    token: int
    raw_lp: float | None
    piece: str
    bytes: str


class Step(_Line, tag="step"):
    """One token."""

    id: int
    index: int
    """From 0."""
    token: int
    text: str
    """What it adds to the answer."""
    piece: str
    r"""Its own bytes as text; what is not UTF-8 as ``\xff``."""
    bytes: str
    """Its own bytes in base64."""
    raw_lp: float | None
    """Under the model itself."""
    proc_lp: float | None
    """Under the distribution that was drawn from."""
    search_lp: float | None
    """The beam search's own increment."""
    rank: int | None
    entropy: float | None
    top: list[Alternative]
    forced: bool
    nonfinite: dict[str, str] = {}
    """``{"raw_lp": "-inf"}``; of ``top``, ``{"top.3": "nan"}``."""


class Rewound(_Line, tag="rewound"):
    """Steps from index ``keep`` on are withdrawn; a beam search has changed its mind."""

    id: int
    keep: int


class Hypothesis(msgspec.Struct, kw_only=True):
    """One answer of an n-best list."""

    text: str
    tokens: list[int]
    score: float | None
    token_scores: list[float | None]
    raw_text: str
    """Before detokenisation, where that differs."""
    alignment: list[tuple[int, int]]
    nonfinite: dict[str, str] = {}
    """``{"score": "-inf"}``; of ``token_scores``, ``{"token_scores.3": "nan"}``."""


class Seconds(msgspec.Struct, kw_only=True):
    """How long it took from submission; null for what did not happen."""

    queue: float | None
    """Until a replica took it."""
    first: float | None
    """Until its first token."""
    total: float | None


class Fault(msgspec.Struct, kw_only=True):
    """What went wrong and what to do."""

    kind: str
    message: str
    hint: str
    detail: str


class _Ending(_Line):
    """What all ends have."""

    id: int
    replica: str | None
    timings: Seconds
    text: str
    """The answer, or what there was of it; it counts above the joined steps."""


class Finished(_Ending, tag="finished"):
    """The answer is whole."""

    reason: str
    """``eos``, ``stop`` or ``length``."""
    hypotheses: list[Hypothesis]
    """Best first; empty where there is only the answer."""


class Stopped(_Ending, tag="stopped"):
    """It was ended early."""

    reason: str
    """``user``, ``deadline`` or ``closing``."""


class Failed(_Ending, tag="failed"):
    """The model could not answer."""

    error: Fault


class Lost(_Ending, tag="lost"):
    """The replica died over it."""

    error: Fault


class Remark(_Line, tag="notice"):
    """A sentence: the outcome of a command, or what is wrong with a line."""

    level: str
    """``info``, ``warning`` or ``error``."""
    text: str
    hint: str
    input_line: int | None = None


class Rows(_Line, tag="table"):
    """What a command shows as a table."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


class Words(_Line, tag="text"):
    """What a command shows as a text."""

    title: str
    text: str


class Drawn(_Line, tag="figure"):
    """What a probe found. ``figure`` is its kind; the other keys of ``data`` depend on it."""

    figure: str
    title: str
    data: dict[str, Any]


JsonEvent = (
    Asked | Started | Step | Rewound | Finished | Stopped | Failed | Lost | Remark | Rows | Words | Drawn
)
