"""Prints how many bytes a second a device moves when it copies: each byte is read once and written once.

``python -m repl.bench.peers.copies DEVICE [MEGABYTES]``.
"""

import sys
import time

import torch

ROUNDS = 5
COPIES = 20


def main() -> None:
    """The process."""
    device = sys.argv[1]
    size = int(sys.argv[2] if len(sys.argv) > 2 else 1024) << 20
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(ROUNDS):
        wait(device)
        began = time.perf_counter()
        for _ in range(COPIES):
            target.copy_(source)
        wait(device)
        best = max(best, 2 * size * COPIES / (time.perf_counter() - began))
    print(best)


def wait(device: str) -> None:
    """For all that was given to the device; a CPU has done it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
