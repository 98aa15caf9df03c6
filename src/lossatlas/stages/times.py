"""How long each published stage took, from the side files that lie beside the results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
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
    return {key: float(side["seconds"]) for key, side in _sides(workspace, params)}


def times_table(workspace: Workspace, params: Params) -> str:
    """Return the wall seconds of every published stage of a preset as Markdown: totals by kind, then each.

    Times are those of one thread each; stages that ran side by side are counted in full.

    Raises:
        FileNotFoundError: nothing of the preset is published.
    """
    sides = dict(_sides(workspace, params))
    if not sides:
        raise FileNotFoundError(f"no stage of preset {params.preset} is published; run `make reproduce` first")
    totals: dict[str, list[float]] = defaultdict(list)
    for (kind, _), side in sides.items():
        totals[kind].append(float(side["seconds"]))
    hosts = sorted({f"{side['cores']} cores, Python {side['python']}" for side in sides.values()})
    lines = [f"# Time of each stage, preset {params.preset}", "", f"Wall seconds; {'; '.join(hosts)}.", ""]
    lines += ["| kind | stages | seconds in all | longest |", "|---|---|---|---|"]
    lines += [f"| {kind} | {len(found)} | {sum(found):.1f} | {max(found):.1f} |" for kind, found in totals.items()]
    everything = [seconds for found in totals.values() for seconds in found]
    lines += [f"| all | {len(everything)} | {sum(everything):.1f} | {max(everything):.1f} |", ""]
    lines += ["| stage | seconds |", "|---|---|"]
    lines += [f"| {kind} {name} | {side['seconds']:.1f} |" for (kind, name), side in sides.items()]
    return "\n".join(lines) + "\n"
