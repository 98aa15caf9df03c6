"""What the rules read, with a plain word for whatever is not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lossatlas.report.artefacts import Connection, Results, Run
from lossatlas.report.claims.rule import MissingError
from lossatlas.report.ensembles import one_budget
from lossatlas.results import Plane, Profile, Trajectory
from lossatlas.shape.grids import common_grid, grid_of, thinned
from lossatlas.shape.groups import has_learnt

T = TypeVar("T")


def gather(read: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """Return what `read` gives for each name.

    Raises:
        MissingError: with every reason, where one or more are not there.
    """
    found, reasons = {}, []
    for name in names:
        try:
            found[name] = read(name)
        except MissingError as missing:
            reasons.append(str(missing))
    if reasons:
        raise MissingError("; ".join(dict.fromkeys(reasons)))
    return found


def available(read: Callable[[str], T], names: Iterable[str]) -> tuple[dict[str, T], list[str]]:
    """Return what `read` gives for those names that are there, and why the others are not."""
    found, reasons = {}, []
    for name in names:
        try:
            found[name] = read(name)
        except MissingError as missing:
            reasons.append(str(missing))
    return found, list(dict.fromkeys(reasons))


def seeds_of(run: str, names: Iterable[str]) -> list[str]:
    """Return `run` and its repeats with other seeds among `names`."""
    repeats = [name for name in names if re.fullmatch(re.escape(run) + r"_seed\d+", name)]
    return [run, *sorted(repeats)]


def finished(results: Results, run: str) -> Run:
    """Return a run that ended with a finite loss."""
    found = results.runs.get(run)
    if found is None:
        raise MissingError(f"run {run} is not there")
    if found.diverged:
        raise MissingError(f"run {run} diverged")
    return found


def repeats(results: Results, run: str) -> list[Run]:
    """Return a run and its repeats with other seeds; repeats that diverged are left out."""
    first = finished(results, run)
    others = [results.runs[name] for name in seeds_of(run, results.runs)[1:]]
    return [first, *(other for other in others if not other.diverged)]


def errors(results: Results, run: str) -> list[float]:
    """Return the test error in percent, one per seed."""
    return [100 * value for item in repeats(results, run) if (value := item.final("test_error")) is not None]


def learnt(results: Results, run: str) -> Run:
    """Return a run whose final training loss lies clearly below that of guessing."""
    found = finished(results, run)
    loss = found.final("train_loss")
    if loss is None or not has_learnt(loss, int(found.info["num_classes"])):
        value = "not known" if loss is None else f"{loss:.3g}"
        raise MissingError(f"run {run} has not learnt: its training loss is {value}, no minimizer to look at")
    return found


def sharpness(results: Results, run: str, key: str) -> list[float | None]:
    """Return a sharpness number of a run that has learnt, one per seed; None where it lies beyond the range.

    Raises:
        MissingError: with the reason of the stage, where the number is not known.
    """
    learnt(results, run)
    entries = results.sharpness.get("runs") or {}
    there = [name for name in seeds_of(run, entries) if _known(entries.get(name) or {}, key)]
    if run not in there:
        entry = entries.get(run) or {}
        reason = (entry.get("unknown") or {}).get(key) or "; ".join(entry.get("missing") or ())
        raise MissingError(f"no {key.replace('_', ' ')} of {run}{f' ({reason})' if reason else ''}")
    return [entries[name][key] for name in there]


def _known(entry: Mapping[str, Any], key: str) -> bool:
    return entry.get(key) is not None or key in entry.get("beyond", ())


def cut(results: Results, run: str, name: str) -> list[Profile]:
    """Return the profiles of one cut of a run, one per seed."""
    learnt(results, run)
    owners = [results.profiles[item] for item in seeds_of(run, results.profiles) if item in results.profiles]
    found = [owner.cuts[name] for owner in owners if name in owner.cuts]
    if not owners or name not in owners[0].cuts or owners[0].name != run:
        raise MissingError(f"no profile {name} of {run}")
    return found


def trajectory(results: Results, name: str) -> Trajectory:
    """Return the path of a training."""
    found = results.trajectories.get(name)
    if found is None or found.trajectory is None:
        raise MissingError(f"no trajectory {name}")
    return found.trajectory


def plane(results: Results, name: str) -> Plane:
    """Return a plane by its name, thinned to the grid on which the sharpness numbers compare all planes."""
    found = results.planes.get(name)
    if found is None or found.plane is None:
        raise MissingError(f"no plane {name}")
    own = [item.plane for item in results.planes.values() if item.info.get("run") == item.name]
    grid = common_grid(grid_of(item) for item in own if item is not None)
    try:
        return thinned(found.plane, grid) if grid else found.plane
    except ValueError as error:
        raise MissingError(f"the plane {name} on the grid of the others ({error})") from None


def probe(results: Results, run: str, part: str) -> Mapping[str, Any]:
    """Return one part of what was probed at a run: `initialization`, `gradients`, `random_cosine` or `condition`."""
    found = results.probes.get(run) or {}
    values: Mapping[str, Any] | None = found.get(part)
    if not values:
        reason = f" ({found['reason']})" if found.get("reason") else ""
        raise MissingError(f"no {part.replace('_', ' ')} of {run}{reason}")
    return values


def curve(results: Results, name: str) -> Connection:
    """Return a curve between two minimizers."""
    found = results.curves.get(name)
    if found is None or found.info["status"] != "finished":
        raise MissingError(f"no curve {name}{_because(found.info if found else None)}")
    return found


def ensemble_errors(results: Results, name: str) -> list[float]:
    """Return the test error of an ensemble of one budget in percent, one per budget."""
    info = results.ensembles.get(name)
    errors = [100 * error for error in one_budget(info)]
    if not errors:
        raise MissingError(f"no ensemble {name}{_because(info)}")
    return errors


def _because(info: Mapping[str, Any] | None) -> str:
    return f" ({info['reason']})" if info and info.get("reason") else ""
