"""Where everything lies, relative to the repository's root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folders of one checkout."""

    root: Path

    @property
    def params(self) -> Path:
        """The composed settings, `params.yaml`."""
        return self.root / "params.yaml"

    @property
    def conf(self) -> Path:
        """The Hydra groups."""
        return self.root / "conf"

    @property
    def scratch(self) -> Path:
        """Unfinished work and caches, outside DVC and git; the variable LOSSATLAS_SCRATCH moves it."""
        return Path(os.environ.get("LOSSATLAS_SCRATCH") or self.root / ".lossatlas").absolute()

    @property
    def publication(self) -> Path:
        """What a command holds while it publishes: one name per checkout, wherever its scratch lies."""
        return self.root / ".lossatlas" / "publication"

    @property
    def tracking(self) -> Path:
        """The default MLflow database and its artifacts."""
        return self.root / "tracking"

    def artifacts(self, preset: str, kind: str = "", name: str = "") -> Path:
        """The published output of a stage, cached by DVC: `artifacts/<preset>/<kind>/<name>`."""
        return self.root / "artifacts" / preset / kind / name

    def plans(self, preset: str) -> Path:
        """What DVC watches in the place of settings and sources: `artifacts/plans/<preset>/stages`."""
        return self.root / "artifacts" / "plans" / preset / "stages"

    def side(self, preset: str, kind: str, name: str) -> Path:
        """Timings and host facts of a stage, which DVC does not hash."""
        return self.root / "artifacts" / "side" / preset / kind / f"{name}.json"

    def reports(self, preset: str) -> Path:
        """What a preset shows: `reports/<preset>`."""
        return self.root / "reports" / preset


def find_workspace(start: Path | None = None) -> Workspace:
    """Return the workspace that holds `start` (default: the current folder): the nearest folder with a `dvc.yaml`.

    Raises:
        FileNotFoundError: no folder from `start` upwards has a `dvc.yaml`.
    """
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return Workspace(folder)
    raise FileNotFoundError(f"no dvc.yaml in {here} or above; run lossatlas inside a checkout of the repository")
