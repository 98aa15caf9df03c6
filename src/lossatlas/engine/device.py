"""The device that a computation runs on."""

from __future__ import annotations

import torch


def usable_device(name: str) -> torch.device:
    """Return the device called `name`.

    Raises:
        ValueError: it is a GPU that this machine does not have.
    """
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(
            f"device = {name!r} is not here (this machine has {count} usable GPUs); compose with device=cpu"
        )
    return device
