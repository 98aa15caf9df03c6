"""Stage `data`: decode a data set once and publish what it holds."""

from __future__ import annotations

from typing import Any

from lossatlas.data import DataSet, load_dataset
from lossatlas.files import read_json, write_json
from lossatlas.stages.job import Job


def load(source: Any, job: Job) -> DataSet:
    """Return the data set that `source` (a `DataSettings` as plain values) describes, from the cache if it is there."""
    from pathlib import Path

    root = source["root"]
    return load_dataset(
        source["kind"],
        cache=Path(job.places["cache"]),
        root=None if root is None else Path(job.places["repository"], root),
        train=source["train"],
        test=source["test"],
        how=source["subset"],
        seed=source["seed"],
    )


def load_checked(job: Job) -> DataSet:
    """Return the data set of the input `data`.

    Raises:
        ValueError: its content is not what the manifest says.
    """
    dataset = load(job.places["data"], job)
    manifest = read_json(job.inputs["data"] / "manifest.json")
    if dataset.fingerprint() != manifest["sha256"]:
        found, expected = dataset.fingerprint()[:12], manifest["sha256"][:12]
        name = manifest["name"]
        raise ValueError(
            f"data set {name} has changed since its manifest was published ({found}, manifest: {expected}); "
            f"run `dvc repro -f data@{name}`, then `dvc repro`"
        )
    return dataset


def compute(job: Job) -> None:
    """Write `manifest.json` (counts, shapes and hashes) and `content.json` (the hash of it all)."""
    dataset = load(job.places["data"], job)
    manifest = dataset.manifest()
    counts = {"train": manifest["count"]["train"], "test": manifest["count"]["test"]}
    kind = job.settings["data"]["kind"]
    named = {"name": job.name, "kind": kind, "shape": manifest["image_shape"]}
    write_json(job.out / "manifest.json", {**manifest, **counts, **named})
    # what the stages that use the data depend on: not where they lie
    write_json(job.out / "content.json", {"sha256": manifest["sha256"]})
