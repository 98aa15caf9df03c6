"""Measure how fast the package is beside a plain program and the machine's limit, and write a report.

Usage: python benchmarks/bench.py [PART ...] [--images FOLDER] [--rounds 5] [--workers 2] [--set plane.images=4096]
       (parts: limit plane hessian training sampled memory scaling overhead; all by default;
       FOLDER/{train,test}/<class>/*.png)

A part that is measured replaces its entry in `bench.json`; those of the others stay. `bench.md` is made from it, with
what `gpu.py` has written beside it. `--tiny` tries everything in seconds; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cases
from hosts import cores, host_facts
from lossatlas.files import write_text
from options import Options
from scaling_page import scaling_page
from tables import markdown

MODULES = {
    "limit": "limit",
    "plane": "plane_rates",
    "hessian": "hessian_times",
    "training": "training_times",
    "sampled": "sampled_counts",
    "memory": "memory_use",
    "scaling": "scaling",
    "overhead": "overheads",
}
_SMALL = {"network": "resnet20", "points": 51, "reach": 1.0, "images": 8000}
_LARGE = {
    "network": "resnet8w4",
    "epochs": 30,
    "train_images": 8000,
    "points": 251,
    "reach": 1.0,
    "images": 50000,
}
SIZES: dict[str, dict[str, Any]] = {
    "limit": {"seconds": 0.5},
    "plane": {
        "networks": ["resnet20", "resnet56"],
        "images": 2048,
        "engine": {},
        "matrix_seconds": 0.2,
        "batch_sizes": [32, 64, 128, 256],
        "batch_seconds": 2.0,
    },
    "hessian": {
        "network": "resnet20",
        "images": 128,
        "points": 3,
        "reach": 0.2,
        "tolerance": 1e-3,
        "stricter": 0.6,
        "ways": ["lanczos", "arpack"],
    },
    "training": {"network": "resnet20", "images": 1024, "tests": 256, "batch_size": 128},
    "sampled": {
        "run": ["51x51"],
        "cases": {"51x51": _SMALL, "251x251": _LARGE},
        "rtol": 0.02,
        "atol": 0.01,
        "check": 500,
        "timed": 50,
    },
    "memory": {"network": "resnet20", "images": 32, "points": [5, 20]},
    "scaling": {
        "network": "resnet20",
        "images": 1024,
        "points": 8,
        "warm_points": 3,
        "workers": [1, 2],
        "counted_points": 4,
        "batches": [1, 10, 100, 1000],
        "seconds": 1.0,
        "trivial_points": 20000,
        "trivial_tasks": 1000,
        "point_seconds": [0.01, 0.1, 1.0, 10.0],
        "on_paper": [8, 64],
        "paper_points": 251,
    },
    "overhead": {"run_stages": True, "dvc": True},
}
_TINY_CASE = {"network": "resnet8w2", "epochs": 1, "train_images": 64, "points": 6, "reach": 0.5, "images": 96}
TINY: dict[str, dict[str, Any]] = {
    "limit": {"seconds": 0.01},
    "plane": {
        "networks": ["resnet8w2"],
        "images": 48,
        "matrix_seconds": 0.01,
        "batch_sizes": [8],
        "batch_seconds": 0.01,
    },
    "hessian": {"network": "resnet8w2", "images": 8, "points": 2, "tolerance": 0.1},
    "training": {"network": "resnet8w2", "images": 32, "tests": 8, "batch_size": 16},
    "sampled": {"run": ["tiny"], "cases": {"tiny": _TINY_CASE}, "check": 8, "timed": 2},
    "memory": {"network": "resnet8w2", "images": 8, "points": [2, 3]},
    "scaling": {
        "network": "resnet8w2",
        "images": 16,
        "points": 3,
        "warm_points": 2,
        "counted_points": 2,
        "batches": [1, 10],
        "seconds": 0.05,
        "trivial_points": 100,
        "trivial_tasks": 20,
    },
    "overhead": {"run_stages": False, "dvc": False},
}


def sizes_of(part: str, *, tiny: bool, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of a part, with changes `part.key`.

    Raises:
        ValueError: a change names no size.
    """
    sizes = SIZES[part] | (TINY[part] if tiny else {})
    for path, value in changes.items():
        name, _, key = path.partition(".")
        if name not in SIZES or key not in SIZES[name]:
            known = ", ".join(f"{p}.{k}" for p, keys in SIZES.items() for k in keys)
            raise ValueError(f"--set {path} names no size; known: {known}")
        if name == part:
            sizes[key] = value
    return sizes


def _change(text: str) -> tuple[str, Any]:
    path, _, value = text.partition("=")
    try:
        return path, json.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not part.key=<JSON>") from error


def merged(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's new entry; cases that were not run again stay."""
    if "cases" in entry and "cases" in before:
        return {**entry, "cases": {**before["cases"], **entry["cases"]}}
    return dict(entry)


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Write `bench.json`, and the pages from it and from what was measured on a GPU."""
    write_text(folder / "bench.json", json.dumps(results, indent=1) + "\n")
    lines = folder / "gpu.jsonl"
    gpu = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    page = {**results, "gpu": {line["part"]: line for line in gpu}} if gpu else results
    write_text(folder / "bench.md", markdown(page))
    write_text(folder / "scaling.md", scaling_page(results.get("scaling")))


def main(arguments: list[str] | None = None) -> None:
    """Run the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(MODULES)}; all by default")
    parser.add_argument("--images", metavar="FOLDER", help="image folder; scikit-learn's digits without one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=cores(), help="processes; one per core by default")
    parser.add_argument("--set", type=_change, action="append", default=[], metavar="PART.KEY=VALUE", dest="changes")
    parser.add_argument("--out", type=Path, default=cases.ROOT / "reports" / "bench")
    parser.add_argument("--scratch", type=Path, default=cases.ROOT / ".lossatlas" / "bench")
    parser.add_argument("--tiny", action="store_true", help="try everything in seconds")
    chosen = parser.parse_args(arguments)
    unknown = [part for part in chosen.parts if part not in MODULES]
    if unknown:
        parser.error(f"{unknown[0]} is no part; parts: {', '.join(MODULES)}")
    file = chosen.out / "bench.json"
    for part in chosen.parts or MODULES:
        print(part, file=sys.stderr, flush=True)
        try:
            sizes = sizes_of(part, tiny=chosen.tiny, changes=dict(chosen.changes))
        except ValueError as error:
            parser.error(str(error))
        options = Options(chosen.images, chosen.workers, chosen.rounds, sizes, chosen.scratch)
        host = host_facts()
        found = importlib.import_module(MODULES[part]).measure(options)
        # read again: another run may have written meanwhile
        results = json.loads(file.read_text()) if file.is_file() else {}
        results[part] = {"host": host, **merged(results.get(part, {}), found)}
        write(chosen.out, {name: results[name] for name in MODULES if name in results})
    print(chosen.out / "bench.md")


if __name__ == "__main__":
    main()
