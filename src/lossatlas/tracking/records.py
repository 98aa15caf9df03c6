"""What the result files of a preset say, as plain records; knows nothing of MLflow's client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.files import read_json, sha256_file, sha256_json
from lossatlas.paths import Workspace
from lossatlas.tracking.compared import params_and_tags
from lossatlas.tracking.names import COLOUR, COMMIT, NOTE, TAG, flatten, identity, key, scalars
from lossatlas.tracking.notes import description, report_description
from lossatlas.tracking.verdicts import verdicts

if TYPE_CHECKING:
    from lossatlas.results import History

SECONDS = "result/seconds"
CHECKPOINTS = frozenset({".safetensors"})


@dataclass(frozen=True)
class Record:
    """One published stage, or the report of a preset, as it is to be seen in MLflow.

    Attributes:
        kind: `data`, `train`, `line`, `plane`, ... or `report`.
        name: the stage's name within its kind.
        preset: the preset it belongs to.
        stage_hash: what identifies the result, of the report a hash of all its files; another hash is another run.
        tags: preset, kind, name, stage hash, status, family, data, commit, host, versions, inputs.
        params: flattened settings.
        metrics: finite numbers that are no curves.
        history: the curves of a training.
        artifacts: files with the artifact folder each goes to ("" is the top).
    """

    kind: str
    name: str
    preset: str
    stage_hash: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    history: History | None
    artifacts: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class Context:
    """What a stage's own files do not say.

    Attributes:
        papers: figures and tables of the papers that show such a result.
        serves: stages that use the result, as `kind name`.
        common: settings that all stages of its kind share, by the short names of `short_settings`.
        colour: of its lines and bars; empty for one that MLflow draws by lot.
    """

    papers: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    common: Mapping[str, str] = field(default_factory=dict)
    colour: str = ""


@dataclass(frozen=True)
class Collected:
    """Records, and the stages that were asked for and have no output yet; iterating gives the records."""

    records: tuple[Record, ...]
    missing: tuple[tuple[str, str], ...]  # (kind, name)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records."""
        return iter(self.records)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)


def collect(
    workspace: Workspace,
    preset: str,
    *,
    stages: Iterable[tuple[str, str]],
    checkpoints: bool = False,
    commit: str | None = None,
    context: Mapping[tuple[str, str], Context] | None = None,
) -> Collected:
    """Read the published stages of a preset and its report.

    Args:
        workspace: where the artifacts and reports lie.
        preset: the preset's name.
        stages: kind and name of each stage.
        checkpoints: also list safetensors files as artifacts.
        commit: the checkout's commit, for what has no record of its own.
        context: what the stages' files do not say, by kind and name.

    Raises:
        ValueError: a result file is damaged.
    """
    around = context or {}
    found = {
        stage: _stage(workspace, preset, *stage, checkpoints, commit, around.get(stage, Context()))
        for stage in dict.fromkeys(stages)
    }
    found["report", "report"] = _report(workspace.reports(preset), preset, commit)
    records = tuple(record for record in found.values() if record is not None)
    return Collected(records, tuple(stage for stage, record in found.items() if record is None))


def _stage(
    workspace: Workspace, preset: str, kind: str, name: str, checkpoints: bool, commit: str | None, context: Context
) -> Record | None:
    folder = workspace.artifacts(preset, kind, name)
    if not (folder / "stage.json").is_file():
        return None
    stage = _json(folder / "stage.json")
    found = _json(folder / ("run.json" if kind == "train" else f"{kind}.json"))
    side = _json(workspace.side(preset, kind, name))
    words = {
        f"{TAG}status": found.get("status", "finished"),
        f"{TAG}family": found.get("family"),
        f"{TAG}data": found.get("data"),
        COMMIT: side.get("git_commit") or commit,
    }
    words |= {f"{TAG}{word}": side.get(word) for word in ("host", "cores", "device", "finished_at")}
    words |= {f"{TAG}input.{role}": value for role, value in stage.get("inputs", {}).items()}
    words |= {f"{TAG}version.{library}": value for library, value in stage.get("versions", {}).items()}
    # the first metric of a run is the one that the UI compares at first; it shows curves, which have no folder, above
    numbers = {f"result/final_{word}": value for word, value in (found.get("final") or {}).items()}
    numbers |= {f"result/{word}": value for word, value in found.items() if word != "seed"}
    params, constants = params_and_tags(stage.get("settings", {}), context.common)
    around = {"papers": context.papers, "serves": context.serves}
    return Record(
        kind=kind,
        name=name,
        preset=preset,
        stage_hash=stage["stage_hash"],
        tags=identity(kind, name, preset, stage["stage_hash"])
        | flatten({word: value for word, value in words.items() if value not in (None, "")})
        | constants
        | context_tags(context)
        | {NOTE: description(kind, name, preset, stage["stage_hash"], found=found, **around)},
        params=params,
        metrics=scalars(numbers | {SECONDS: side.get("seconds")}),
        history=_history(folder / "history.h5"),
        artifacts=_files(folder, skipped=frozenset() if checkpoints else CHECKPOINTS),
    )


def context_tags(context: Context) -> dict[str, str]:
    """Return the tags by which runs are found that stand in a figure or serve a study."""
    tags = {"papers": "; ".join(context.papers), "serves": ", ".join(context.serves)}
    found = flatten({f"{TAG}{word}": text for word, text in tags.items() if text})
    return found | ({COLOUR: context.colour} if context.colour else {})


def _report(folder: Path, preset: str, commit: str | None) -> Record | None:
    page, checks = folder / "report.html", folder / "checks.json"
    others = (folder / name for name in ("report.md", "explorer.html", "sharpness.json"))
    if not page.is_file():
        return None
    counts = {"passed": 0, "failed": 0, "not_run": 0} | Counter(verdicts(_json(checks)))
    files = tuple((path, "") for path in (page, checks, *others) if path.is_file())
    files += _files(folder / "figures", "figures") + _files(folder / "tables", "tables")
    stage_hash = sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path, _ in files})
    return Record(
        kind="report",
        name="report",
        preset=preset,
        stage_hash=stage_hash,
        tags=identity("report", "report", preset, stage_hash)
        | {f"{TAG}status": "finished"}
        | {NOTE: report_description(preset, counts)}
        | ({COMMIT: commit} if commit else {}),
        params={},
        metrics={key(f"checks/{verdict}"): float(n) for verdict, n in counts.items()},
        history=None,
        artifacts=files,
    )


def _files(folder: Path, at: str = "", *, skipped: frozenset[str] = frozenset()) -> tuple[tuple[Path, str], ...]:
    below = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in skipped)
    return tuple((path, (Path(at) / path.relative_to(folder).parent).as_posix().removeprefix(".")) for path in below)


def _history(path: Path) -> History | None:
    if not path.is_file():
        return None
    from lossatlas.results import History

    return History.load(path)


def _json(path: Path) -> Any:
    """Read a JSON file; a file that is not there is an empty mapping."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}
