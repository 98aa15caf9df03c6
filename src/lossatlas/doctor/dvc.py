"""The state of DVC, read from its files; DVC itself is not started."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as IniError
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from lossatlas.doctor.finding import Finding, note, ok, problem
from lossatlas.paths import Workspace

_FICLONE = 0x40049409  # Linux: share the blocks of another file
_REPRO = "`dvc repro` brings them together"


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Look at DVC's version, repository, lock file, kind of cache and locks."""
    try:
        found = version("dvc")
    except PackageNotFoundError:
        yield problem("dvc", "is not installed", "run `make install`")
        return
    if not (workspace.root / ".dvc" / "config").is_file():
        yield problem("dvc", f"{found}, but {workspace.root / '.dvc' / 'config'} is not there", "restore it from git")
        return
    yield ok("dvc", f"{found}, repository {workspace.root}")
    yield _lock_file(workspace)
    yield _cache(workspace)
    yield from _locks(workspace.root / ".dvc" / "tmp")


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _lock_file(workspace: Workspace) -> Finding:
    """Compare the stages of `dvc.lock` with those that `dvc.yaml` and `params.yaml` make."""
    subject, path = "dvc.lock", workspace.root / "dvc.lock"
    if not path.is_file():
        return note(subject, "is not there: nothing was run", "run `make reproduce` or `dvc repro`")
    try:
        locked = _load(path)["stages"]
        depended = {name: {item["path"] for item in stage.get("deps", ())} for name, stage in locked.items()}
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:120]
        return problem(subject, f"cannot be read ({type(error).__name__}: {text})", "restore it from git or delete it")
    try:
        planned = _planned(_load(workspace.root / "dvc.yaml")["stages"], _load(workspace.params))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        return problem(subject, f"dvc.yaml and params.yaml give no stages ({error!r})", "restore them from git")
    if lacking := planned.keys() - depended.keys():
        return note(subject, f"lacks {len(lacking)} of {len(planned)} stages ({min(lacking)}, ...)", _REPRO)
    if gone := depended.keys() - planned.keys():
        return note(subject, f"has {len(gone)} stages that are not planned ({min(gone)}, ...)", _REPRO)
    if other := sorted(name for name in planned if planned[name] != depended[name]):
        return note(subject, f"{len(other)} stages have other dependencies in dvc.yaml ({other[0]}, ...)", _REPRO)
    if stale := sorted(_changed(workspace, locked)):
        return note(subject, f"{len(stale)} stages have another plan than when they ran ({stale[0]}, ...)", _REPRO)
    return ok(subject, f"in step with dvc.yaml ({len(planned)} stages)")


def _planned(stages: dict[str, Any], params: dict[str, Any]) -> dict[str, set[str]]:
    """Return the dependencies of each stage, those of `foreach` written out."""
    found = {}
    for name, stage in stages.items():
        if "foreach" in stage:
            items = params[re.sub(r"\W", "", stage["foreach"])]
            for key, item in items.items():
                values = params | {"key": key} | {f"item.{word}": value for word, value in item.items()}
                found[f"{name}@{key}"] = {_filled(path, values) for path in stage["do"].get("deps", ())}
        else:
            found[name] = {_filled(path, params) for path in stage.get("deps", ())}
    return found


def _filled(text: str, values: dict[str, Any]) -> str:
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(values[match[1]]), text)


def _changed(workspace: Workspace, locked: dict[str, Any]) -> Iterator[str]:
    """Yield the stages of which a plan, a small file, is not the one that they ran with."""
    for name, stage in locked.items():
        for item in stage.get("deps", ()):
            path = workspace.root / item["path"]
            if item["path"].startswith("artifacts/plans/") and path.is_file():
                found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                if found != item.get("md5"):
                    yield name


def _cache(workspace: Workspace) -> Finding:
    """Say how DVC brings files from its cache: reflinks, where the file system has them, or copies."""
    config = ConfigParser()
    try:
        config.read(workspace.root / ".dvc" / "config")
    except (IniError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        return problem("dvc cache", f".dvc/config cannot be read ({text})", "restore it from git")
    kinds = config.get("cache", "type", fallback="reflink,copy").strip('"').split(",")
    if "symlink" in kinds or "hardlink" in kinds:
        return note(
            "dvc cache", f"type {','.join(kinds)}: a result that is edited changes the cache", "use reflink,copy"
        )
    if "reflink" in kinds and _clones(workspace.root):
        return ok("dvc cache", "reflinks: results and cache share their blocks")
    return ok("dvc cache", "copies: results take their size twice (no reflinks on this file system)")


def _clones(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
            one.write(b"x" * 4096)
            one.flush()
            fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
    except OSError:
        return False
    return True


def _locks(folder: Path) -> Iterator[Finding]:
    """Say whether DVC is running, and which entries of its table of locks are of processes that are gone."""
    lock, table = folder / "lock", folder / "rwlock"
    if lock.is_file() and _held(lock):
        yield note("dvc locks", f"{lock} is held: DVC is running", "wait for it")
        return
    try:
        entries = json.loads(table.read_text()) if table.is_file() else {}
        numbers = {int(info["pid"]) for entry in entries.values() for info in _holders(entry)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield problem("dvc locks", f"{table} cannot be read ({error})", "delete it")
        return
    if gone := sorted(number for number in numbers if not _alive(number)):
        yield problem("dvc locks", f"{table} names process {gone[0]}, which is gone", "delete that file")
    else:
        yield ok("dvc locks", "none is stale")


def _holders(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from entry.get("read", ())
    if entry.get("write"):
        yield entry["write"]


def _held(path: Path) -> bool:
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
