"""The device that a computation runs on."""

from __future__ import annotations

import torch


def usable_device(name: str) -> torch.device:
    """Return the device called `name`.

    Raises:
        ValueError: no device is called so, or it is a GPU that this machine does not have.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device = {name!r} is impossible; allowed: cpu, cuda, cuda:N; say device=cpu")
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"device = {name!r} is not here (this machine has {count} usable GPUs); say device=cpu")
    return device
