"""Everything that needs a GPU, in one go: times beside the plain program, agreement with the CPU, surfaces of networks.

Needs PyTorch, torchvision, NumPy, SciPy, h5py, safetensors, Pillow, filelock, scikit-learn and tqdm only. A part is one
JSON line in the file `--out`; a part that is there already is not measured again, so a run that was cut short goes on.
`bench.py` puts them into its report.

Usage: PYTHONPATH=src python benchmarks/gpu.py [PART ...] [--images PLACE] [--out FILE] [--budget SECONDS]
       (parts: limit agreement plane products training synchronizations curves members studies; all by default;
       PLACE is a folder PLACE/{train,test}/<class>/*.png, or an .npz file with train_images, train_labels, test_images
       and test_labels; `--device cpu --tiny` tries all parts without a GPU)

No part is begun after 20 minutes unless `--budget` says otherwise; what matters most comes first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

import cases
import gpu_checks
import gpu_times
from hosts import host_facts

PARTS = {
    "limit": gpu_times.limit,
    "agreement": gpu_checks.agreement,
    "plane": gpu_times.plane_points,
    "products": gpu_times.products,
    "training": gpu_times.training,
    "synchronizations": gpu_times.synchronizations,
    "curves": gpu_checks.curves,
    "members": gpu_checks.members,
    "studies": gpu_checks.studies,
}
SIZES: dict[str, Any] = {
    "network": "resnet56",
    "images": 50000,
    "test_images": 10000,
    "batch_sizes": [1000, 2500],
    "plain_workers": 8,
    "plain_parts": 5,
    "hessian_images": 2000,
    "curve_images": 12800,
    "few": 256,
    "deep": 110,
}
TINY: dict[str, Any] = {
    "network": "resnet8w2",
    "images": 48,
    "test_images": 16,
    "batch_sizes": [16],
    "plain_workers": 0,
    "plain_parts": 2,
    "hessian_images": 8,
    "curve_images": 32,
    "few": 8,
    "deep": 11,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure the parts that are not in the file yet, as far as the time allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--images", metavar="PLACE", help="image folder or .npz; scikit-learn's digits without")
    parser.add_argument("--out", type=Path, default=cases.ROOT / "reports" / "bench" / "gpu.jsonl")
    parser.add_argument("--budget", type=float, default=1200, help="seconds after which no part is begun")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="of the studies")
    parser.add_argument("--points", type=int, default=11, help="per axis of the studies")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="try everything in seconds")
    chosen = parser.parse_args(arguments)
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is no part; parts: {', '.join(PARTS)}")
    if chosen.device == "cpu":
        torch.set_num_threads(1)
    sizes = SIZES | (TINY if chosen.tiny else {})
    settings = gpu_times.Settings(chosen.device, chosen.images, chosen.rounds, sizes, chosen.epochs, chosen.points)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line)["part"] for line in chosen.out.read_text().splitlines()] if chosen.out.is_file() else []
    begin = time.monotonic()
    for part in (part for part in chosen.parts or PARTS if part not in done):
        if time.monotonic() - begin > chosen.budget:
            print(f"no time for {part}; run again to go on", file=sys.stderr)
            break
        print(part, file=sys.stderr, flush=True)
        start = time.monotonic()
        found = PARTS[part](settings)
        entry = {"part": part, **found, "host": host_facts(chosen.device), "took": round(time.monotonic() - start, 1)}
        line = json.dumps(entry)
        print(line, flush=True)
        with chosen.out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
