"""Misbehaviour on demand, for tests of what surrounds an engine."""

import os
import signal

import msgspec

from backends.base import BackendError

KINDS = ("crash", "raise", "hang", "oom", "nan")


class Fault(msgspec.Struct, frozen=True):
    """What a prompt such as ``!crash 3`` asks for, after so many tokens."""

    kind: str
    after: int

    @classmethod
    def of(cls, prompt: str) -> "Fault | None":
        """``!`` and one of ``KINDS``, with a number (default 0); None for other prompts."""
        word, _, number = prompt.partition(" ")
        if word[:1] == "!" and word[1:] in KINDS:
            return cls(word[1:], int(number) if number.strip().isdigit() else 0)
        return None

    def strike(self) -> None:
        """Do it: raise, hang or end the process."""
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "hang":
            while True:
                signal.pause()
        if self.kind == "oom":
            raise MemoryError("asked for by the prompt")
        if self.kind == "nan":
            raise BackendError("nan_logits", "the model's logits are not numbers", "try another dtype")
        raise RuntimeError("asked for by the prompt")
