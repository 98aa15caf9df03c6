"""Memory of a plane: does it grow with the number of points, and how often are the directions stored?"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from options import Options
from pairing import spread


def measure(options: Options) -> dict[str, Any]:
    """Return the peak of planes of two sizes, each in a process of its own, and the growth within the larger one."""
    sizes = options.sizes
    small, large = sizes["points"]
    found: dict[int, list[dict[str, int]]] = {small: [], large: []}
    for turn in range(options.rounds):
        for points, replies in found.items():
            command = [sys.executable, __file__, sizes["network"], str(points), str(sizes["images"]), str(small**2)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
            replies.append(json.loads(done.stdout.splitlines()[-1]))
        options.say(f"round {turn + 1} of {options.rounds}")
    growth = [reply["last"] - reply["early"] for reply in found[large]]
    return {
        "network": sizes["network"],
        "images": sizes["images"],
        "peak_mib": {f"{n * n} points": _mib([reply["peak"] for reply in replies]) for n, replies in found.items()},
        f"growth_mib_from_point_{small**2}_to_{large**2}": _mib(growth),
        "growth_mib": statistics.median(growth) / 2**20,
        "copies_of_a_direction": max(reply["copies"] for replies in found.values() for reply in replies),
    }


def _mib(values: list[int]) -> dict[str, float]:
    return spread([value / 2**20 for value in values])


def _peak() -> int:
    # kilobytes, but bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _resident() -> int:
    """Return the memory that this process holds now; its peak where the system does not tell."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.is_file() else _peak()


def _copies(tensor: Any) -> int:
    """Return how many places in memory hold exactly these numbers."""
    import torch

    found = set()
    for item in gc.get_objects():
        if type(item) is torch.Tensor and item.shape == tensor.shape and torch.equal(item, tensor):
            found.add(item.data_ptr())
    return len(found)


def _child(network: str, points: int, images: int, early: int) -> dict[str, int]:
    """Evaluate a plane; return bytes held at an early point, at the last and at most, and copies of a direction."""
    import numpy as np
    import torch

    import cases
    from hessian_times import after_each_point
    from lossatlas.landscape.surfaces import plane

    torch.set_num_threads(1)
    model = cases.network(network)
    directions = cases.axes(model)
    largest = max(directions[0].tensors.values(), key=lambda tensor: tensor.numel())
    found: dict[str, int] = {}
    count = 0

    def look() -> None:
        nonlocal count
        count += 1
        if count == 1:
            found["copies"] = _copies(largest)
        if count == early:
            found["early"] = _resident()
        if count == points**2:
            found["last"] = _resident()

    with after_each_point(look):
        plane(model, cases.images(None, images).normalized(), directions=directions, x=np.linspace(-1, 1, points))
    return {**found, "peak": _peak()}


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(_child(name, *map(int, numbers))))
