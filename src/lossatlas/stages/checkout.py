"""Facts about a checkout: its commit, and where a stage's scratch folder lies."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lossatlas.paths import Workspace


def scratch_folder(workspace: Workspace, key: tuple[str, str], stage_hash: str) -> Path:
    """Return the folder in which a stage (kind and name) works."""
    kind, name = key
    return workspace.scratch / "stages" / kind / f"{name}-{stage_hash[:16]}"


def git_commit(workspace: Workspace) -> str | None:
    """Return the checkout's commit, None where there is no git or no commit."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
