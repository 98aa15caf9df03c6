"""In which precision a network is evaluated, whatever a program has set before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def check_precision(precision: str) -> None:
    """Refuse an unknown precision.

    Raises:
        ValueError: another name.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision = {precision!r} is unknown; allowed: {', '.join(get_args(Precision))}")


@contextmanager
def products(device: torch.device | None = None, *, tf32: bool) -> Iterator[None]:
    """Compute matrix products and convolutions of float32 numbers exactly, or in TensorFloat-32 on a GPU.

    What was set before is restored. On a CPU they are exact either way: a program may have allowed bfloat16 there.

    Args:
        device: where the products are; None: on any. A point of a small network takes no longer than all the settings.
        tf32: whether a GPU may round.
    """
    kind = device.type if device else None
    wanted = [(place, "tf32" if tf32 else "ieee") for place in (_gpu_places() if kind != "cpu" else ())]
    wanted += [(place, "ieee") for place in (_cpu_places() if kind != "cuda" else ())]
    changed = []
    for place, value in wanted:
        before = place.fp32_precision
        if before != value and (before, value) != ("none", "ieee"):  # what nobody has set is exact
            changed.append((place, before, value))
    try:
        for place, _, value in changed:
            place.fp32_precision = value
        yield
    finally:
        for place, before, _ in changed:
            place.fp32_precision = before


def _gpu_places() -> tuple[Any, ...]:
    """Return what holds PyTorch's settings, of which its own types do not know."""
    cudnn: Any = torch.backends.cudnn
    return torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn


def _cpu_places() -> tuple[Any, ...]:
    cpu: Any = torch.backends.mkldnn
    return cpu.matmul, cpu.conv, cpu.rnn


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Evaluate networks in a precision: half precision is PyTorch's autocast, with weights and sums in float32."""
    half: AbstractContextManager[object] = nullcontext()
    if precision in _HALF:
        # without a cache of weights in half precision: they change from point to point, also for captured graphs
        half = torch.autocast(device.type, dtype=_HALF[precision], cache_enabled=False)
    with products(device, tf32=precision == "tf32"), half:
        yield
