"""The budgets of an ensemble: which weights its members have, and what was trained for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.ensembles.members import snapshot_epochs
from lossatlas.files import read_json

_FINAL = "final.safetensors"
_NETWORK = ("family", "options", "num_classes")


@dataclass(frozen=True)
class MemberFile:
    """The weights of one member."""

    name: str
    epoch: int  # epochs of training behind them
    path: Path


@dataclass(frozen=True)
class Budget:
    """What was trained for one budget: one run or several, or the cycles that go on from a run's checkpoint.

    Attributes:
        name: of the runs or cycles, joined by ` + `.
        epochs: trained in all.
        shared_epochs: of them those behind the checkpoint that cycles begin at, which is another run's.
        seed: of the first of them.
        members: in order of time.
        problem: why there are no such members, "" if there are.
        networks: per run or cycles its name, network and input normalization.
    """

    name: str
    epochs: int
    shared_epochs: int
    seed: int
    members: tuple[MemberFile, ...]
    problem: str
    networks: tuple[tuple[str, Mapping[str, Any]], ...]

    def account(self) -> dict[str, Any]:
        """Return what results say about it."""
        names = ("name", "epochs", "shared_epochs", "seed")
        return {**{name: getattr(self, name) for name in names}, "members": len(self.members)}


def read_budgets(inputs: Mapping[str, Path], settings: Mapping[str, Any]) -> list[Budget]:
    """Return the budgets of an ensemble's settings, read from the folders of the roles `budget<i>.<j>`.

    Raises:
        ValueError: they are not of one network and input normalization.
    """
    budgets = []
    for i, names in enumerate(settings["budgets"]):
        parts = [_part(name, inputs[f"budget{i}.{j}"], settings) for j, name in enumerate(names)]
        budgets.append(_joined(parts))
    _require_one_network([found for budget in budgets for found in budget.networks])
    return budgets


def _part(name: str, folder: Path, settings: Mapping[str, Any]) -> Budget:
    return _cycles(name, folder) if settings["method"] == "fge" else _run(name, folder, settings)


def _cycles(name: str, folder: Path) -> Budget:
    about = read_json(folder / "fge.json")
    start = about["start"]
    members = [
        MemberFile(f"{name}_fge epoch {start + epoch}", start + epoch, folder / f"member_{epoch:04d}.safetensors")
        for epoch in about["members"]
    ]
    wrong = "" if about["status"] == "finished" else f"the cycles {name} have no members: {about['reason']}"
    network = {key: about[key] for key in (*_NETWORK, "normalization")}
    epochs = start + about["epochs"]
    return Budget(name, epochs, start, about["seed"], tuple(members), wrong or _missing(members), ((name, network),))


def _run(name: str, folder: Path, settings: Mapping[str, Any]) -> Budget:
    about = read_json(folder / "run.json")
    epochs = about["train"]["epochs"]
    several = settings["method"] in ("sse", "nocycle")
    taken = snapshot_epochs(epochs, settings["snapshots"]) if several else [epochs]
    files = {epoch: folder / f"epoch_{epoch:04d}.safetensors" for epoch in taken} | {epochs: folder / _FINAL}
    members = [MemberFile(f"{name} epoch {epoch}", epoch, files[epoch]) for epoch in taken]
    wrong = "" if about["status"] == "finished" else f"the run {name} diverged ({about['note']})"
    network = {**{key: about[key] for key in _NETWORK}, "normalization": about["train"]["normalization"]}
    return Budget(name, epochs, 0, about["seed"], tuple(members), wrong or _missing(members), ((name, network),))


def _missing(members: list[MemberFile]) -> str:
    return next((f"there are no weights of {member.name}" for member in members if not member.path.is_file()), "")


def _joined(parts: list[Budget]) -> Budget:
    return Budget(
        name=" + ".join(part.name for part in parts),
        epochs=sum(part.epochs for part in parts),
        shared_epochs=sum(part.shared_epochs for part in parts),
        seed=parts[0].seed,
        members=tuple(member for part in parts for member in part.members),
        problem=next((part.problem for part in parts if part.problem), ""),
        networks=tuple(found for part in parts for found in part.networks),
    )


def _require_one_network(found: list[tuple[str, Mapping[str, Any]]]) -> None:
    (first, wanted), *others = found
    for name, network in others:
        if differing := [key for key in wanted if network[key] != wanted[key]]:
            key = differing[0]
            raise ValueError(
                f"{name} has {key} = {network[key]!r}, {first} has {wanted[key]!r}; "
                "the members of an ensemble are of one network and input normalization"
            )
