"""Where data come from and where results go."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lossatlas.doctor.finding import Finding, note, ok, problem
from lossatlas.paths import Workspace
from lossatlas.settings import DataSettings, Params

IMAGES = (".png", ".jpg", ".jpeg")
ARCHIVES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
}
LITTLE, NOTHING = 2 * 2**30, 200 * 2**20  # bytes


def data_roots(workspace: Workspace, params: Params) -> Iterator[Finding]:
    """Look at the roots of the settings' data sets."""
    for name, data in sorted(params.datasets.items()):
        yield _root(f"data {name}", workspace, data)


def _root(subject: str, workspace: Workspace, data: DataSettings) -> Finding:
    if data.kind == "digits":
        return ok(subject, "digits come with scikit-learn")
    key = f"{subject.replace('data ', 'datasets.')}.root"
    if data.root is None or "\0" in data.root:
        return problem(subject, f"{data.kind} needs a root, found {data.root!r}", f"`lossatlas compose {key}=FOLDER`")
    root = Path(workspace.root, data.root).expanduser()
    if data.kind == "imagefolder":
        return _images(subject, root, key)
    if found := [item for item in ARCHIVES[data.kind] if (root / item).exists()]:
        return ok(subject, f"{root / found[0]}")
    archive = ARCHIVES[data.kind][1]
    return note(subject, f"{data.kind} is not in {root}", f"it is downloaded on first use, or put {archive} there")


def _images(subject: str, root: Path, key: str) -> Finding:
    counts = {}
    for split in ("train", "test"):
        folder = root / split
        if not folder.is_dir():
            return problem(subject, f"{folder} is no folder", f"put images there or `lossatlas compose {key}=FOLDER`")
        classes = [item for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")]
        counts[split] = sum(path.suffix.lower() in IMAGES for item in classes for path in item.iterdir())
        if not counts[split]:
            return problem(subject, f"{folder} has no images", f"expected {folder}/<class>/<name>.png (or jpg, jpeg)")
    return ok(subject, f"{counts['train']} training and {counts['test']} test images in {root}")


def folders(workspace: Workspace) -> Iterator[Finding]:
    """Write to each folder of results, or where it will be, and look at the free space."""
    root = workspace.root
    places = (root / "artifacts", workspace.scratch, root / "reports", workspace.tracking, root / ".dvc" / "cache")
    for folder in places:
        subject = f"folder {os.path.relpath(folder, root)}"
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            yield problem(subject, f"{there} is no folder", "move it away")
            continue
        try:
            with tempfile.TemporaryFile(dir=there) as stream:
                stream.write(b"x" * 4096)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            yield problem(subject, f"cannot write in {there} ({error.strerror})", "make it writable, with room")
            continue
        free = shutil.disk_usage(there).free
        text = f"writable, {free / 2**30:.1f} GiB free"
        if free < NOTHING:
            yield problem(subject, text, "make room")
        elif free < LITTLE:
            yield note(subject, text, "large presets need more")
        else:
            yield ok(subject, text)
