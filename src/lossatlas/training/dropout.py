"""The randomness of dropout, which takes no generator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the global generator that `device` draws from and restore it afterwards; no other one is touched.

    The generator is the process's: trainings in threads of one process would draw from each other's. Tasks of executors
    take turns, see `engine.executors.taking_turns`.
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        # torch.manual_seed would also seed the generators of all other devices, which are not restored
        if on_gpu:
            index = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.default_generators[index].manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)
        yield
