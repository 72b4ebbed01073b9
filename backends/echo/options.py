"""What an echo model can be told to do."""

import msgspec


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Validated ``options`` of the configuration."""

    tokens_per_second: float = 0.0
    """Pace of one answer alone; 0 is as fast as it can."""
    batch_slope: float = 0.0
    """Each further running request slows a token by this share of its time."""
    prefill_tokens_per_second: float = 0.0
    """Pace of reading the prompt; 0 costs nothing."""
    jitter: float = 0.0
    """Share of a token's time by which it may come earlier or later."""
    memory: int = 0
    """Tokens of prompts and answers that fit at once; requests wait for room. 0 is without bound."""
    length: int = 0
    """Answer with this many words, the prompt's over and over; 0 is the prompt once."""
    chat: bool = False
    """Behave as a model with a chat template: earlier turns become part of the prompt."""
    max_prompt: int = 4096
    """Longest prompt in words."""
    load_seconds: float = 0.0
    """A slow load."""
    load_error: str = ""
    """A load that fails with this message."""
    gate: str = ""
    """Path of a FIFO: each byte written to it releases one event, so that tests need not sleep."""
    faults: bool = False
    """Obey prompts such as ``!crash 3``: see ``faults.py``."""
