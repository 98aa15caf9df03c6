"""Which trainings an ensemble may be of, and what it must be called."""

from __future__ import annotations

from collections.abc import Mapping

from lossatlas.settings.ensembles import EnsembleSettings, FgeSettings
from lossatlas.settings.sections import known
from lossatlas.settings.trainings import Runs, check_alike, check_independent, check_kept

# method: how the names of its ensembles end; tables and figures find them by these
SUFFIXES = {
    "ind": ("ind", "single"),
    "sse": ("sse", "snapshot01", "snapshot02"),
    "fge": ("fge",),
    "nocycle": ("nocycle",),
    "single_cycle": ("single_cycle",),
}


def check_ensemble(name: str, ensemble: EnsembleSettings, fges: Mapping[str, FgeSettings], runs: Runs) -> None:
    """Refuse an ensemble whose members are not there, are not independent, or do not add up to its budget.

    Raises:
        ValueError: members that do not exist, of other data, or of another schedule or length than the method's; two
            members of one training; a name that is not that of the ensemble's network, data and method.
    """
    _check_name(name, ensemble)
    members = [member for budget in ensemble.budgets for member in budget]
    if twice := [member for i, member in enumerate(members) if member in members[:i]]:
        raise ValueError(f"ensembles.{name}.budgets has {twice[0]!r} twice; budgets are independent: name another run")
    for i, budget in enumerate(ensemble.budgets):
        _check_budget(f"ensembles.{name}.budgets[{i}]", budget, ensemble, fges, runs)
    behind = [fges[member].run if ensemble.method == "fge" else member for member in members]
    check_alike(f"ensembles.{name}", behind, runs)
    for i, run in enumerate(behind):
        if run in behind[:i]:
            raise ValueError(
                f"ensembles.{name}: {members[behind.index(run)]} and {members[i]} branch from one training, {run}; "
                f"give fges.{members[i]}.run another run"
            )
    check_independent(f"ensembles.{name}", behind, runs)


def _check_name(name: str, ensemble: EnsembleSettings) -> None:
    stem, suffixes = f"{ensemble.network}-{ensemble.data}", SUFFIXES[ensemble.method]
    allowed = [f"{stem}-{suffix}" for suffix in suffixes]
    if name not in allowed:
        raise ValueError(
            f"ensembles.{name} has network = {ensemble.network!r}, data = {ensemble.data!r} and method = "
            f"{ensemble.method!r}, and would not be found in tables; call it {' or '.join(allowed)}"
        )


def _check_budget(
    key: str, budget: list[str], ensemble: EnsembleSettings, fges: Mapping[str, FgeSettings], runs: Runs
) -> None:
    spent = 0
    for member in budget:
        known(key, member, fges if ensemble.method == "fge" else runs)
        _check_network(key, member, ensemble.network)
        run = fges[member].run if ensemble.method == "fge" else member
        if runs[run].data != ensemble.data:
            raise ValueError(
                f"{key}: {member} is of {runs[run].data}, the ensemble of {ensemble.data}; "
                f"name a run of {ensemble.data}"
            )
        _check_method(key, member, ensemble, runs)
        spent += fges[member].start + fges[member].epochs if ensemble.method == "fge" else runs[run].train.epochs
    if spent != ensemble.budget_epochs:
        raise ValueError(f"{key} trains {spent} epochs; a budget has {ensemble.budget_epochs}: change one of the two")


def _check_network(key: str, member: str, network: str) -> None:
    # the same network has runs of two papers' protocols
    if not any(member == stem or member.startswith(f"{stem}_") for stem in (network, f"huang_{network}")):
        raise ValueError(
            f"{key} = {member!r} is not of network = {network!r} by its name; name members {network}, {network}_... "
            f"or huang_{network}..., or change network"
        )


def _check_method(key: str, member: str, ensemble: EnsembleSettings, runs: Runs) -> None:
    """Refuse a run without the snapshots or the schedule of the ensemble's method."""
    if ensemble.method in ("sse", "nocycle"):
        _check_snapshots(key, member, ensemble, runs)
    if ensemble.method == "nocycle" and runs[member].train.schedule == "cosine_cycles":
        raise ValueError(
            f"{key}: {member} has schedule = 'cosine_cycles'; nocycle takes snapshots of a training without cycles: "
            "name a run with another schedule, or take method sse"
        )
    cycles = {"sse": ensemble.snapshots, "single_cycle": 1}.get(ensemble.method)
    if cycles is None:
        return
    train = runs[member].train
    if (train.schedule, train.schedule_options.cycles) != ("cosine_cycles", cycles):
        raise ValueError(
            f"{key}: {member} has schedule = {train.schedule!r} with cycles = {train.schedule_options.cycles}; "
            f"{ensemble.method} needs 'cosine_cycles' with cycles = {cycles}"
        )


def _check_snapshots(key: str, member: str, ensemble: EnsembleSettings, runs: Runs) -> None:
    train, count = runs[member].train, ensemble.snapshots
    if train.epochs % count:
        raise ValueError(
            f"{key}: {member} has {train.epochs} epochs, which {count} snapshots do not divide evenly; "
            f"take a multiple of {count}"
        )
    for i in range(1, count + 1):
        check_kept(key, member, i * train.epochs // count, runs)
