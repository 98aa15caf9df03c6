"""Settings of where tasks run; results do not depend on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossatlas.settings.sections import Count, Positive, Section

Kind = Literal["inline", "processes", "dask", "class"]
# the settings that a kind has besides itself
_OF: dict[str, tuple[str, ...]] = {
    "inline": (),
    "processes": ("workers",),
    "dask": ("workers", "address", "cluster", "resources"),
    "class": ("target",),
}


class ExecutorSettings(Section):
    """Where unfinished stages, and the points of a stage, are computed.

    Attributes:
        kind: this process, processes of this machine, a Dask cluster, or any class.
        workers: processes, or workers of a cluster that is started; by default one per core.
        address: of a running Dask scheduler.
        cluster: `_target_` and options of a class that deploys a Dask cluster.
        resources: what a task takes of its Dask worker, such as one GPU.
        target: `_target_` and options of a class that is a `concurrent.futures.Executor`.
    """

    kind: Kind
    workers: Count | None = None
    address: Annotated[str, Field(pattern=r"^[a-z]+://.+:\d+$")] | None = None
    cluster: dict[str, Any] | None = None
    resources: dict[str, Positive | Count] | None = None
    target: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for name in ("workers", "address", "cluster", "resources", "target"):
            if getattr(self, name) is not None and name not in _OF[self.kind]:
                allowed = ", ".join(_OF[self.kind]) or "none"
                raise ValueError(f"{name} is no setting of kind {self.kind!r} (its settings: {allowed}); remove it")
        if self.address is not None and (self.cluster is not None or self.workers is not None):
            raise ValueError("address names a running cluster, so cluster and workers must be null")
        if self.kind == "class" and self.target is None:
            raise ValueError("kind 'class' needs target, such as {_target_: mpi4py.futures.MPIPoolExecutor}")
        for name in ("cluster", "target"):
            section = getattr(self, name)
            if section is not None and not _is_class(section.get("_target_")):
                raise ValueError(
                    f"{name}._target_ must be the dotted name of a class, such as distributed.LocalCluster"
                )
        return self


def _is_class(name: object) -> bool:
    return isinstance(name, str) and "." in name and all(part.isidentifier() for part in name.split("."))
