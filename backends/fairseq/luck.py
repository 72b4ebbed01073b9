"""torch's random numbers for a model whose dropout stays on, so that a seed gives the same answer again."""

import torch


class Luck:
    """The state of the generators of one request. Others may draw between ``pause`` and ``resume``."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._kept: tuple[torch.Tensor, torch.Tensor | None] | None = None

    def resume(self) -> None:
        """Go on where ``pause`` left off; the first time from the seed."""
        if self._kept is None:
            torch.manual_seed(self._seed)
            return
        torch.set_rng_state(self._kept[0])
        if self._kept[1] is not None:
            torch.cuda.set_rng_state(self._kept[1], self._device)

    def pause(self) -> None:
        """Keep the state."""
        cuda = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        self._kept = torch.get_rng_state(), cuda
