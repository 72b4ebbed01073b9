"""The vocabulary of requests and answers, from the front ends to the engines and back.

The structs cross process boundaries as they are, msgpack-encoded by msgspec, so that an answer is described
in one language from the engine to the record. What is said of a replica's process is in ``repl.pool.wire``.

The life of a request: ``Started``, any number of ``Step`` and ``Rewound``, then exactly one terminal event
(``Finished``, ``Stopped``, ``Failed`` or ``Lost``). Log-probabilities are natural logarithms (nats).
"""

from typing import Literal

import msgspec

from repl.params import Params
from repl.readings import Reading

Role = Literal["system", "user", "assistant"]

Task = Literal["generate", "score", "tokenize", "classify", "fill", "lens"]
"""What is asked of a model. Every task ends in ``Finished``; only ``generate`` draws tokens.

- ``score``: ``target`` (or ``target_ids``) is fed after the prompt and each of its tokens comes back as a
  forced ``Step``, as cheaply as the model can (one forward pass where it is causal). A masked model answers
  with its pseudo-log-likelihood: each token masked in turn.
- ``tokenize``: ``target`` as the model would write it or, where that is empty, ``prompt`` as it would read
  it, without template, truncation or special tokens; the answer is a ``Tokenized``.
- ``classify``: a ``Labelled``, from a sequence classifier.
- ``fill``: a ``Filled``, from a masked model whose mask token stands in the prompt.
- ``lens``: a ``Lens`` over the prompt's and the target's tokens.
"""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One turn of a conversation."""

    role: Role
    text: str


class Request(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """One prompt for one model. ``params`` is complete: nothing is left for a backend to default."""

    id: int = 0
    """Given by the coordinator; unique in its lifetime."""
    model: str
    prompt: str
    params: Params
    history: tuple[Message, ...] = ()
    """Earlier turns, oldest first. Only models with a chat template read them."""
    template: bool = True
    """Apply the model's chat template, where it has one."""
    prefix: str = ""
    """Text the answer is made to begin with; its steps come back with ``forced`` set."""
    sample: int = 0
    """Which of several samples of one seed this is; part of the noise key."""
    lane: Literal["fast", "exact"] = "fast"
    """``exact`` asks for a fixed batch shape, so that numbers can be compared."""
    resume: tuple[int, ...] = ()
    """Tokens a lost replica had sent already: forced first, so that the answer goes on where it broke off."""
    task: Task = "generate"
    target: str = ""
    """The text to score, to tokenize or to look at; whatever its template, a model reads it as it stands."""
    target_ids: tuple[int, ...] = ()
    """The same as tokens: goes before ``target``."""
    prefix_ids: tuple[int, ...] = ()
    """Like ``prefix``, as tokens: the answer begins with exactly these, ``forced``."""
    opening: Literal["auto", "bos", "eos", "none"] = "auto"
    """What a scored text begins with where there is no prompt: ``auto`` is what the tokenizer puts first,
    else the token the model was trained to begin with (BOS, else EOS). With ``none`` the first token has no
    score."""
    closing: bool = False
    """Score the end token after the target too."""
    distributions: bool = False
    """Put the whole raw distribution into each step."""
    attention: bool = False
    """Give the hypotheses their attention over the source."""
    interactive: bool = True
    """Whether a person waits for it; set by the coordinator from its priority, for engines that gather work
    before they begin."""
    known: int = 0
    """How many of ``prefix_ids`` the asker knows all about: their steps may come without any figures, and an
    engine that still holds what they left need not read them."""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The engine took the request: what it will really feed to the model."""

    id: int
    prompt_ids: tuple[int, ...]
    prompt_text: str
    """The text after template and truncation."""
    truncated: int = 0
    """Tokens that truncation removed."""
    notes: tuple[str, ...] = ()
    """Visible marks: parameters whose meaning differs or which had no effect here."""
    reused: int = 0
    """Tokens at the beginning of the prompt that need no reading: an earlier request left their state."""
    raw_prompt: str = ""
    """The prompt as the model's symbols, where that differs from ``prompt_text`` (fairseq's ``S-`` line)."""
    prompt_pieces: tuple[bytes, ...] = ()
    """The bytes of each of ``prompt_ids``; sent with every task but a plain ``generate``."""
    raw_constraints: tuple[str, ...] = ()
    """``Params.constraints`` as the model's symbols (fairseq's ``C-`` lines)."""


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """One token of an answer."""

    id: int
    index: int
    """Position in the answer, contiguous from 0."""
    token: int
    piece: bytes
    """The token's own bytes; may be part of a character."""
    text: str
    """What this token adds to the visible text; empty while a character or a stop string is incomplete."""
    raw_lp: float | None = None
    """log_softmax of the float32 logits, before any processor, at temperature 1."""
    proc_lp: float | None = None
    """Under the renormalised distribution that was drawn from."""
    search_lp: float | None = None
    """The native search's own increment (fairseq's ``P-`` values)."""
    rank: int | None = None
    """0 when the token was the model's first choice (by ``raw_lp``)."""
    entropy: float | None = None
    """Of the raw distribution, in nats."""
    top: tuple[tuple[int, float, bytes], ...] = ()
    """Most likely alternatives: (token, raw_lp, piece), best first."""
    forced: bool = False
    distribution: bytes = b""
    """``raw_lp`` of every token of the vocabulary, in the order of their ids: little-endian float32. Empty
    unless ``Request.distributions`` asks for it."""


class Rewound(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """A beam changed its mind: steps from index ``keep`` on are withdrawn and will be sent anew."""

    id: int
    keep: int


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One complete answer of an n-best list."""

    text: str
    tokens: tuple[int, ...]
    """With the end-of-sequence token, where the search produced one."""
    score: float | None = None
    """The native score the search ranks by."""
    token_scores: tuple[float, ...] = ()
    """``search_lp`` for each of ``tokens``."""
    alignment: tuple[tuple[int, int], ...] = ()
    """(source position, target position) pairs."""
    raw_text: str = ""
    """Before BPE removal and detokenisation, where that differs (fairseq's ``H-`` line)."""
    attention: tuple[tuple[float, ...], ...] = ()
    """For each target token, its weight on each source token; rows sum to 1."""


FinishReason = Literal["eos", "stop", "length", "done"]
"""``done`` ends every task but ``generate``."""


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The answer is complete."""

    id: int
    reason: FinishReason
    text: str
    """The whole answer; authoritative over the joined ``Step.text`` (stop strings are cut here)."""
    hypotheses: tuple[Hypothesis, ...] = ()
    """Best first; empty where the answer is just the steps."""
    batch: int = 1
    """Largest number of rows this request shared a forward pass with, itself included."""
    padded: int = 0
    """Longest padded length, in tokens, of a pass it was in; 0 where unknown."""
    reading: Reading | None = None
    """The outcome of ``tokenize``, ``classify``, ``fill`` and ``lens``."""
    drafted: int = 0
    """Tokens that were guessed, for the model to confirm several in one pass."""
    accepted: int = 0
    """Of ``drafted``, those that became part of the answer."""


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """Ended early on demand; the steps so far stand."""

    id: int
    reason: Literal["user", "deadline", "closing"] = "user"


class Error(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What went wrong and what to do about it."""

    kind: str
    """A stable word: ``prompt_too_long``, ``empty_prompt``, ``bad_parameter``, ``out_of_memory``,
    ``nan_logits``,
    ``missing_file``, ``not_a_checkpoint``, ``untrusted``, ``missing_package``, ``unsupported``, ``crashed``,
    ``hung``, ``queue_full``, ``unreachable``, ``unauthorised``, ``internal``."""
    message: str
    hint: str = ""
    """What the user can do next."""
    detail: str = ""
    """Longer material, such as the last lines a process wrote."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The engine could not answer; the replica lives on."""

    id: int
    error: Error


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The replica went away after part of the answer had been shown. Made by the coordinator."""

    id: int
    error: Error


Terminal = Finished | Stopped | Failed | Lost
Event = Started | Step | Rewound | Finished | Stopped | Failed | Lost


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a loaded model can do; sent once, when the replica is ready."""

    kind: Literal["causal", "seq2seq", "classifier", "masked", "echo"]
    slots: int
    """How many requests it serves at once."""
    max_prompt: int | None = None
    """Longest prompt in tokens, where there is a limit."""
    vocab_size: int | None = None
    vocab_fingerprint: str = ""
    """sha256 over the ordered (id, bytes) pairs: equal for models that share a vocabulary."""
    chat: bool = False
    """Has a chat template, so earlier turns and the system prompt are used."""
    checkpoint_hash: str = ""
    dtype: str = ""
    parameters: int | None = None
    """Number of weights."""
    notes: tuple[str, ...] = ()
    resumes: bool = False
    """Honours ``Request.resume``: the same tokens follow as if nothing had happened."""
    tasks: tuple[Task, ...] = ("generate",)
    """What it can be asked for; another task fails as ``unsupported``."""
    distributions: bool = False
    """Honours ``Request.distributions``."""
    attention: bool = False
    """Honours ``Request.attention``."""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a replica needs to load a model."""

    name: str
    backend: str
    path: str
    """A folder or file, or a hub name; for a fairseq ensemble, paths joined by ':'."""
    data: str | None = None
    """Folder with the dictionaries, where a backend needs one."""
    dtype: str = "auto"
    slots: int | None = None
    prompt_template: str | None = None
    """Text with ``{prompt}`` in it, put round every prompt."""
    trust: tuple[str, ...] = ()
    """``sha256:...`` of each file that may run code when loaded, ``remote-code`` for a hub model's own."""
    options: dict[str, object] = {}
    """Backend-specific settings."""
    gpus: int = 1
    """Devices one replica is spread over; the process sees so many."""
    share: float = 1.0
    """Of what its GPU has free, the part that is this replica's; others on it have the rest."""
