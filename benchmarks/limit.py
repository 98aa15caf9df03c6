"""The machine's limit: how fast it multiplies matrices, and (on a GPU) copies memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from crew import Crew
from lossatlas.engine.precision import products
from options import Options
from pairing import spread

SIZES = (256, 512, 1024)
GPU_SIZES = (4096, 8192)


def _rate(call: Callable[[], object], work: float, seconds: float) -> float:
    """Return work per second of a call that is repeated for so many seconds, after one that does not count."""
    call()
    count, begin = 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds or not count:
        call()
        count += 1
    return work * count / took


def matrix_rates(seconds: float) -> dict[str, float]:
    """Return the operations per second of float32 matrix products on a CPU, by library and size.

    PyTorch and NumPy bring libraries of their own; the faster is the limit.
    """
    rates = {}
    for size in SIZES:
        a, b, out = (torch.randn(size, size) for _ in range(3))
        left, right, result = a.numpy(), b.numpy(), out.numpy()
        ways = {
            "torch": lambda a=a, b=b, out=out: torch.mm(a, b, out=out),
            "numpy": lambda left=left, right=right, result=result: np.matmul(left, right, out=result),
        }
        for name, call in ways.items():
            rates[f"{name} {size}"] = _rate(call, 2.0 * size**3, seconds)
    return rates


def best_matrix_rate(seconds: float) -> float:
    """Return the highest of `matrix_rates`."""
    return max(matrix_rates(seconds).values())


def device_matrix_rate(precision: str, *, device: str, repeats: int = 20) -> float:
    """Return the operations per second of matrix products in `float32`, `tf32` or `bf16`, the best of a few sizes."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    with products(torch.device(device), tf32=precision == "tf32"):
        for size in GPU_SIZES if device != "cpu" else SIZES[:1]:
            a, b, out = (torch.randn(size, size, device=device, dtype=kind) for _ in range(3))
            best = max(best, 2.0 * size**3 / _device_seconds(lambda: torch.mm(a, b, out=out), device, repeats))  # noqa: B023
    return best


def copy_bandwidth(*, device: str, repeats: int = 20) -> float:
    """Return the bytes per second of a copy within the device's memory, read and written bytes together."""
    count = 2**28 if device != "cpu" else 2**22
    source, target = (torch.empty(count, device=device) for _ in range(2))
    return 2 * 4 * count / _device_seconds(lambda: target.copy_(source), device, repeats)


def _device_seconds(call: Callable[[], object], device: str, repeats: int) -> float:
    for _ in range(3):
        call()
    if device == "cpu":
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - begin) / repeats
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


class Bench:
    """What a worker process measures of the limit."""

    def __init__(self, index: int) -> None:
        """Do nothing; the processes differ in nothing."""

    def rates(self, seconds: float) -> dict[str, float]:
        """Return `matrix_rates`."""
        return matrix_rates(seconds)


def measure(options: Options) -> dict[str, dict]:
    """Return the rate of one process while the others rest, and of all together."""
    alone: dict[str, list[float]] = {}
    together: dict[str, list[float]] = {}
    with Crew(options.workers, Bench) as crew:
        for turn in range(options.rounds):
            for kept, count in ((alone, 1), (together, options.workers)):
                replies, _ = crew.run("rates", options.sizes["seconds"], only=count)
                for name in replies[0]:
                    kept.setdefault(name, []).append(sum(reply[name] for reply in replies) / 1e9)
            options.say(f"round {turn + 1} of {options.rounds}")
    return {
        "gigaoperations_per_second": {
            "one process": _highest(alone),
            f"{options.workers} processes": _highest(together),
        },
        "by_library_and_size": {
            "one process": {name: spread(values) for name, values in alone.items()},
            f"{options.workers} processes": {name: spread(values) for name, values in together.items()},
        },
    }


def _highest(rates: dict[str, list[float]]) -> dict[str, float]:
    return spread(max(rates.values(), key=statistics.median))
