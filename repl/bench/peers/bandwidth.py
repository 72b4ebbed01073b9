"""Prints how many bytes a second a device moves at most: when it reads, or when it copies.

``python -m repl.bench.peers.bandwidth DEVICE [MEGABYTES]``. A copy reads each byte once and writes it once.
"""

import sys
import time
from collections.abc import Callable

import torch

ROUNDS = 5
TIMES = 20
"""In each round, without a wait between them."""


def main() -> None:
    """The process."""
    device = sys.argv[1]
    size = int(sys.argv[2] if len(sys.argv) > 2 else 1024) << 20
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    copying = _most(device, 2 * size, lambda: target.copy_(source))
    print(max(copying, _most(device, size, source.sum)))


def _most(device: str, moved: int, move: Callable[[], object]) -> float:
    """Bytes a second of the best round; ``move`` moves so many. The first call is not counted."""
    move()
    best = 0.0
    for _ in range(ROUNDS):
        _wait(device)
        began = time.perf_counter()
        for _ in range(TIMES):
            move()
        _wait(device)
        best = max(best, moved * TIMES / (time.perf_counter() - began))
    return best


def _wait(device: str) -> None:
    """For all that was given to the device; a CPU has done it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
