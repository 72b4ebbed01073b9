"""A loaded model with the fixed properties the engine needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.hf.choosing.processors import Fixed
from backends.hf.guesses.speculation import Drafts
from backends.hf.state.rows import Rows
from backends.hf.text import Codec


@dataclass(slots=True)
class Model:
    """The network, its tokenizer and what is known of them."""

    name: str
    network: Any
    codec: Codec
    rows: Callable[[], Rows]
    """Makes the state for a new batch."""
    ragged: bool
    """A batch may begin with prompts of different lengths."""
    divisible: bool
    """A prompt can be read in parts."""
    fixed: Fixed
    prefill_tokens: int = 512
    """Prompt tokens, padding included, read in one step."""
    cache_tokens: int | None = None
    """Tokens, padding included, that may be held at once; None where the state does not grow with them."""
    start: tuple[int, ...] = ()
    """What the decoder of an encoder-decoder model begins with; empty for the others."""
    context: int | None = None
    """Most positions the decoder has, where there is a limit."""
    max_prompt: int | None = None
    """Longest prompt in tokens, where there is a limit."""
    template: str | None = None
    """Text with ``{prompt}`` in it, put round every prompt."""
    drafts: Callable[[], Drafts] | None = None
    """Makes what guesses the tokens of a row; None where nothing does."""

    @property
    def seq2seq(self) -> bool:
        """Whether an encoder reads the prompt."""
        return bool(self.start)

    @property
    def chat(self) -> bool:
        """Whether the tokenizer brings a chat template."""
        return bool(getattr(self.codec.tokenizer, "chat_template", None))

    @property
    def embeddings(self) -> int:
        """How many token ids the network can read."""
        return int(self.network.get_input_embeddings().weight.shape[0])
