"""Sees a model's distribution before fairseq changes it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Probe:
    """Keeps the log-probabilities of a step as the model gives them: float32, temperature 1, no penalty.

    It listens to each network's ``get_normalized_probs`` from now on. Whoever is about to run a step sets
    ``temperature``, and takes what was seen when the step's figures are there.
    """

    def __init__(self, networks: Sequence[Any]) -> None:
        self.temperature = 1.0
        """By which the generator divides the logits of the step."""
        self._seen: list[Tensor] = []
        for network in networks:
            network.get_normalized_probs = self._listening(network.get_normalized_probs)

    def take(self) -> Tensor:
        """``[hypotheses, vocab]`` of the last step; an ensemble's is the mean of the probabilities."""
        seen, self._seen = self._seen, []
        if len(seen) == 1:
            return seen[0]
        return torch.stack(seen).logsumexp(0) - torch.tensor(float(len(seen))).log().item()

    def clear(self, temperature: float) -> None:
        """Forget what a step left that was broken off; the next ones have this temperature."""
        self._seen.clear()
        self.temperature = temperature

    def _listening(self, inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def get_normalized_probs(out: Any, log_probs: bool, sample: Any = None) -> Tensor:
            lprobs = inner(out, log_probs, sample)
            if self.temperature == 1:
                raw = lprobs.clone()  # the search writes into it
            else:
                raw = inner((out[0] * self.temperature, *out[1:]), log_probs, sample)
            self._seen.append(raw[:, -1].float())
            return lprobs

        return get_normalized_probs
