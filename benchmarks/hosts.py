"""Facts about the machine that a measurement was made on; no names and no dates."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import torch


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def host_facts(device: str = "cpu") -> dict:
    """Return what the numbers depend on, and the load (processes that want a core, 1 minute) before the run."""
    facts = {
        "cpu": _cpu(),
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads_per_process": 1,
        "load_at_start": round(os.getloadavg()[0], 2),
    }
    if device != "cpu":
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return facts
