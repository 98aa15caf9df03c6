"""How long each published stage took, from the side files that lie beside the results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from lossatlas.files import read_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.plan import stage_keys
from lossatlas.stages.task import Key


def _sides(workspace: Workspace, params: Params) -> Iterator[tuple[Key, dict[str, Any]]]:
    for key in stage_keys(params):
        side = workspace.side(params.preset, *key)
        if side.is_file():
            yield key, read_json(side)


def stage_seconds(workspace: Workspace, params: Params) -> dict[Key, float]:
    """Return the wall seconds of every published stage of a preset."""
    return {key: _seconds(side) for key, side in _sides(workspace, params)}


def _seconds(side: Mapping[str, Any]) -> float:
    """Return the seconds of all attempts at a stage; of one that was killed, those of the epochs that it kept."""
    return float(max(side["seconds"], sum(side.get("epoch_seconds", ()))))


def times_table(workspace: Workspace, params: Params) -> str:
    """Return the wall seconds of every published stage of a preset as Markdown: totals by kind, then each.

    Times are those of one thread each; stages that ran side by side are counted in full, and so are attempts that were
    stopped and waits for other work on the machine.

    Raises:
        FileNotFoundError: nothing of the preset is published.
    """
    sides = dict(_sides(workspace, params))
    if not sides:
        raise FileNotFoundError(f"no stage of preset {params.preset} is published; run `make reproduce` first")
    totals: dict[str, list[float]] = defaultdict(list)
    for (kind, _), side in sides.items():
        totals[kind].append(_seconds(side))
    hosts = sorted({f"{side['cores']} cores, Python {side['python']}" for side in sides.values()})
    lines = [f"# Time of each stage, preset {params.preset}", ""]
    lines += [f"Wall seconds, attempts that were stopped included; {'; '.join(hosts)}.", ""]
    lines += ["| kind | stages | seconds in all | longest |", "|---|---|---|---|"]
    lines += [f"| {kind} | {len(found)} | {sum(found):.1f} | {max(found):.1f} |" for kind, found in totals.items()]
    everything = [seconds for found in totals.values() for seconds in found]
    lines += [f"| all | {len(everything)} | {sum(everything):.1f} | {max(everything):.1f} |", ""]
    lines += ["| stage | seconds |", "|---|---|"]
    lines += [f"| {kind} {name} | {_seconds(side):.1f} |" for (kind, name), side in sides.items()]
    return "\n".join(lines) + "\n"
