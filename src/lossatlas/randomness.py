"""Named random generators, all derived from one seed."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` of `seed` (SHA-256 of both, so streams are unrelated)."""
    text = "/".join(str(part).replace("\\", "\\\\").replace("/", "\\/") for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a fresh CPU generator for the stream `names` of `seed`, for example `generator(0, "order", epoch)`."""
    return torch.Generator().manual_seed(derived_seed(seed, *names))
