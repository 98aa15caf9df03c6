"""Python, libraries, devices and threads; nothing heavy is imported unless a GPU is asked for."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lossatlas.closure import PACKAGE
from lossatlas.doctor.finding import Finding, note, ok, problem
from lossatlas.paths import Workspace

INSTALL = "run `make install`"


def _project(workspace: Workspace) -> dict[str, Any]:
    """Return the project's table, empty where there is none that can be read."""
    try:
        found: dict[str, Any] = tomllib.loads((workspace.root / "pyproject.toml").read_text())["project"]
    except (OSError, ValueError, KeyError):
        return {}
    return found


def python(workspace: Workspace) -> Finding:
    """Compare Python's version with what the project allows."""
    allowed = _project(workspace).get("requires-python")
    here = platform.python_version()
    if allowed is None:
        return note("python", f"{here}; pyproject.toml does not say what it must be", "restore that file")
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(allowed).contains(here, prereleases=True):
        return problem("python", f"{here} is not {allowed}", "make the environment anew with `make install PYTHON=...`")
    return ok("python", f"{here} ({allowed})")


def libraries(workspace: Workspace) -> Iterator[Finding]:
    """Compare the libraries that the project names with the versions it was tested with."""
    path = workspace.root / "constraints.txt"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        yield problem("libraries", f"{path} cannot be read ({error.strerror})", "restore that file")
        return
    pinned = {_name(line.partition("==")[0]): line.partition("==")[2].strip() for line in lines if "==" in line}
    named = [_name(re.split(r"[^\w.-]", item)[0]) for item in _project(workspace).get("dependencies", [])]
    missing, other = [], []
    for name in named or pinned:
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if name in pinned and found.partition("+")[0] != pinned[name]:
            other.append(f"{name} {found} (tested: {pinned[name]})")
    if missing:
        yield problem("libraries", f"missing: {', '.join(missing)}", INSTALL)
    if other:
        yield note("libraries", f"other versions: {', '.join(other)}", f"results may differ; {INSTALL} for the tested")
    if not missing and not other:
        yield ok("libraries", f"{len(named or pinned)} as in constraints.txt, torch {version('torch')}")


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text.strip().lower())


def package(workspace: Workspace) -> Finding:
    """Say whether this environment runs the sources of this checkout."""
    sources = workspace.root / "src" / "lossatlas"
    if PACKAGE.resolve() == sources.resolve():
        return ok("package", f"the sources of this checkout ({PACKAGE})")
    return problem("package", f"{PACKAGE} runs, not the sources of this checkout", INSTALL)


def device(name: str) -> Finding:
    """Say whether the device of the settings is here, and whether a GPU lies idle."""
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    if name == "cpu":
        if gpus:
            return note("device", f"cpu, though {gpus} GPU(s) are here", "`lossatlas compose device=cuda` uses one")
        return ok("device", f"cpu ({platform.machine()})")
    import torch

    number = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return problem("device", f"{name} is not here (GPUs: {found})", "`lossatlas compose device=cpu`, or see to it")
    return ok("device", f"{name}, {torch.cuda.get_device_name(number)}")


def threads(workers: int | None) -> Finding:
    """Compare the workers of the settings with the cores of this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is not None and workers > cores:
        return note("threads", f"executor.workers = {workers} on {cores} core(s)", "more than one each is slower")
    return ok("threads", f"{cores} core(s) for {workers or cores} worker(s) of one thread each")
