"""What `lossatlas export` and `lossatlas animate` do: find the results, and write the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lossatlas.config import load_params
from lossatlas.exports.formats import MESHES, check_format, export
from lossatlas.exports.mesh import Scale
from lossatlas.exports.sources import published, read_result
from lossatlas.exports.targets import require_free
from lossatlas.files import read_json
from lossatlas.paths import find_workspace
from lossatlas.report.animations import Look, animate, animate_planes
from lossatlas.results import Plane, Trajectory


def export_command(
    source: Sequence[str],
    to: Path,
    *,
    value: str | None = None,
    log: bool = False,
    cap: float | None = None,
    scale: str = "1",
    force: bool = False,
) -> str:
    """Write a result in the format that the ending of `to` names; return a line about it.

    Args:
        source: a result file, or a kind of study and the name of one in the present preset.
        to: the file to write.
        value: the quantity that the height of a surface shows.
        log: the height is the decimal logarithm.
        cap: larger values are cut off here.
        scale: factor of the height, or `fit`.
        force: replace a file that is there.

    Raises:
        FileNotFoundError: no such file or study.
        ValueError: the result does not fit the format, an option does not fit, or a file is in the way.
    """
    if len(source) not in (1, 2):
        raise ValueError(f"pass a file, or a kind and a name such as `plane resnet56`, not {' '.join(source)!r}")
    path = Path(source[0]) if len(source) == 1 else _file(*source, surface=to.suffix.lower() in (*MESHES, ".h5"))
    result = read_result(path)
    check_format(to, type(result))
    require_free("to", to, reads=[path], force=force)
    export(result, to, value=value, log=log, cap=cap, scale=_scale(scale))
    return f"{to}: {result.KIND} from {path}"


def animate_command(
    kind: str,
    names: Sequence[str],
    to: Path,
    *,
    title: str | None = None,
    look: Look = "surface",
    fps: float | None = None,
    force: bool = False,
) -> str:
    """Write a film of one trajectory, or of several planes in the order named; return a line about it.

    Args:
        kind: `trajectory` or `plane`.
        names: one trajectory, or planes of the present preset.
        to: the file, `.gif` or `.mp4`.
        title: a headline; the network's name if absent.
        look: of planes, `surface` or `contours`.
        fps: frames per second.
        force: replace a file that is there.

    Raises:
        FileNotFoundError: no such study.
        ValueError: another kind, the wrong number of names, an option that does not fit, or a file is in the way.
    """
    require_free("to", to, force=force)
    if kind == "trajectory" and len(names) == 1:
        file = _file(kind, names[0], surface=False)
        headline = title if title is not None else _title(file)
        animate(Trajectory.load(file), Plane.load(file.with_name("plane.h5")), to, title=headline, fps=fps)
        return f"{to}: the path of {names[0]}"
    if kind != "plane" or not names:
        raise ValueError(f"animate takes `trajectory NAME` or `plane NAME NAME ...`; got {' '.join([kind, *names])!r}")
    files = [_file(kind, name, surface=True) for name in names]
    labels, shown = [_title(file) for file in files], [Plane.load(file) for file in files]
    labels = labels if len(set(labels)) == len(labels) else list(names)  # one run's planes share its title
    animate_planes(shown, to, labels=labels, title=title or "", look=look, fps=fps)
    return f"{to}: {len(files)} planes"


def _file(kind: str, name: str, *, surface: bool) -> Path:
    workspace = find_workspace()
    return published(workspace, load_params(workspace).preset, kind, name, surface=surface)


def _title(file: Path) -> str:
    """Return the name of the network that a study is about."""
    return str(read_json(file.with_name(f"{file.parent.parent.name}.json")).get("run_title") or file.parent.name)


def _scale(text: str) -> Scale:
    if text == "fit":
        return "fit"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"scale = {text!r} is impossible; allowed: a positive number, or 'fit'") from None
