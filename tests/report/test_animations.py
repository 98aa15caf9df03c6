"""Films of descents and of surfaces: their frames, labels, rates and sizes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lossatlas.report import animations
from lossatlas.report.animations import animate, animate_planes
from lossatlas.report.films import REST, Film
from lossatlas.results import Plane, Trajectory

X, Y = np.linspace(-1, 3, 9), np.linspace(-1, 2, 5)


def bowl(height: float = 1.0) -> Plane:
    xs, ys = np.meshgrid(X, Y, indexing="ij")
    loss = height * (0.05 + xs**2 + 0.5 * ys**2)
    shares = np.full(loss.shape, 0.5)
    return Plane(X, Y, loss, shares, loss, shares, np.ones(loss.shape, dtype=bool))


def path(n: int = 6) -> Trajectory:
    t = np.linspace(1, 0, n)
    some: dict[str, Any] = {"distance": t, "alignment": t, "spectrum": np.array([0.8, 0.2]), "axes": "pca"}
    return Trajectory(
        epoch=10 * np.arange(n),
        path_x=2.5 * t,
        path_y=1.5 * t**2,
        captured=np.array([0.8, 0.2]),
        drops=("20", "40"),
        **some,
    )


def frames(file: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames of a GIF and how long each stays, in milliseconds."""
    found, pauses = [], []
    with Image.open(file) as image:
        for i in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")).astype(int))
            pauses.append(int(image.info["duration"]))
    return found, pauses


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_descent_has_a_frame_per_checkpoint_and_the_last_one_stays(tmp_path: Path) -> None:
    found, pauses = frames(animate(path(), bowl(), tmp_path / "d.gif", title="VGG-9"))
    assert len(found) == 6
    assert pauses == [500] * 5 + [500 + 1000 * REST]  # six frames in eight seconds would be slower than two a second
    differences = [np.abs(b - a).max(axis=2) > 40 for a, b in zip(found, found[1:], strict=False)]
    for changed in differences:
        assert 20 < changed.sum() < 0.05 * changed.size  # the head, a piece of the path and the number
    # the head goes from the upper right to the lower left
    heads = [np.argwhere(changed[70:]).mean(axis=0) for changed in differences]
    assert all(b[0] > a[0] and b[1] < a[1] for a, b in zip(heads[1:], heads[2:], strict=False))
    assert (tmp_path / "d.gif").stat().st_size < 100_000


def test_each_frame_says_its_epoch_and_shows_the_path_so_far() -> None:
    figure, advance = animations._scene(path(), bowl(), "VGG-9")
    axes = figure.axes[0]
    assert axes.get_title() == "VGG-9"
    assert axes.get_xlabel() == "1st PCA component: 80.0 %"
    whole, _, line, _, drops, head = axes.lines
    for last, (clock, rate, passed) in {
        0: ("epoch 0 of 50", "", 0),
        2: ("epoch 20 of 50", "learning rate lowered", 1),
        5: ("epoch 50 of 50", "learning rate lowered 2 times", 2),
    }.items():
        advance(last)
        assert texts(figure) == [clock, rate]
        assert np.array_equal(line.get_xydata(), np.stack([path().path_x, path().path_y], axis=1)[: last + 1])
        assert np.array_equal(head.get_xydata(), [[path().path_x[last], path().path_y[last]]])
        assert len(drops.get_xdata()) == passed
    assert len(whole.get_xdata()) == 6


def test_long_paths_skip_checkpoints_but_not_the_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animations, "LONGEST", 4)
    shown: list[str] = []
    monkeypatch.setattr(Film, "add", lambda self, figure: shown.append(texts(figure)[0]))
    animate(path(31), bowl(), tmp_path / "d.gif")
    assert shown == [f"epoch {epoch} of 300" for epoch in (0, 100, 200, 300)]


@pytest.mark.parametrize("look", ["surface", "contours"])
def test_planes_of_several_epochs_share_a_scale(look: animations.Look, tmp_path: Path) -> None:
    planes = [bowl(4.0), bowl(1.0), bowl(0.25)]
    labels = [f"epoch {i}" for i in (0, 10, 20)]
    file = animate_planes(planes, tmp_path / "s.gif", labels=labels, title="VGG-9", look=look, fps=4)
    found, pauses = frames(file)
    assert len(found) == 3 and pauses == [250, 250, 250 + 1000 * REST]
    assert len({frame.shape for frame in found}) == 1
    # viridis is darker where the loss is lower; the colour bar, at the right, stays
    middle = [frame[150:400, 100:380].mean() for frame in found]
    assert middle[0] > middle[1] > middle[2]
    width = found[0].shape[1]
    bar = [frame[100:300, int(0.86 * width) :] for frame in found]
    assert all((np.abs(other - bar[0]) < 60).all() for other in bar)
    assert file.stat().st_size < 300_000


def test_same_film_same_bytes(tmp_path: Path) -> None:
    first, second = (animate(path(3), bowl(), tmp_path / f"{name}.gif").read_bytes() for name in "ab")
    assert first == second


def test_films_do_not_follow_the_users_own_settings(tmp_path: Path) -> None:
    import matplotlib as mpl

    wanted = animate(path(3), bowl(), tmp_path / "a.gif").read_bytes()
    with mpl.rc_context({"savefig.bbox": "tight", "font.size": 30, "savefig.facecolor": "red"}):
        assert animate(path(3), bowl(), tmp_path / "b.gif").read_bytes() == wanted


def test_ffmpeg_writes_mp4(tmp_path: Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    file = animate(path(), bowl(), tmp_path / "d.mp4", title="VGG-9", fps=3)
    assert file.read_bytes()[4:8] == b"ftyp"
    decoded = tmp_path / "%02d.png"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", str(file), str(decoded)], check=True)
    assert len(list(tmp_path.glob("*.png"))) == 6 + round(3 * REST)


def test_without_ffmpeg_mp4_is_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ValueError, match=r"d\.mp4 needs ffmpeg, which is not on the path; install it, or write a \.gif"
    ):
        animate(path(), bowl(), tmp_path / "d.mp4")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    lost = replace(path(), path_x=np.full(6, np.nan), note="the run diverged")
    with pytest.raises(ValueError, match=r"the path has no finite coordinates \(the run diverged\); nothing moves"):
        animate(lost, bowl(), tmp_path / "d.gif")
    with pytest.raises(ValueError, match=r"cannot write 'd\.png': endings of films are \.gif, \.mp4"):
        animate(path(), bowl(), tmp_path / "d.png")
    with pytest.raises(ValueError, match=r"fps = 0 is impossible; allowed: a number above 0, up to 100"):
        animate(path(), bowl(), tmp_path / "d.gif", fps=0)
    with pytest.raises(ValueError, match="0 planes have 0 labels"):
        animate_planes([], tmp_path / "s.gif", labels=[])
    with pytest.raises(ValueError, match="2 planes have 1 labels; pass planes, and a label for each"):
        animate_planes([bowl(), bowl()], tmp_path / "s.gif", labels=["epoch 1"])
    assert not list(tmp_path.iterdir())


def test_an_error_while_drawing_leaves_the_old_film(tmp_path: Path) -> None:
    (tmp_path / "d.gif").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stopped"), Film(tmp_path / "d.gif", 2) as film:
        film.add(Figure(figsize=(2, 2)))
        raise RuntimeError("stopped")
    assert (tmp_path / "d.gif").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


class Broken:
    """A writer that fails at a frame, and again when it is ended."""

    def __init__(self, good: int) -> None:
        self.good, self.ended = good, 0

    def setup(self, *_: Any, **__: Any) -> None:
        pass

    def grab_frame(self) -> None:
        self.good -= 1
        if self.good < 0:
            raise BrokenPipeError("the first error")

    def finish(self) -> None:
        self.ended += 1
        raise subprocess.CalledProcessError(1, "ffmpeg")


@pytest.mark.parametrize("good", [0, 1])
def test_a_writer_that_fails_is_ended_and_hides_no_error(good: int, tmp_path: Path) -> None:
    film, writer = Film(tmp_path / "d.gif", 2), Broken(good)
    film._writer = writer  # type: ignore[assignment]
    with pytest.raises(BrokenPipeError, match="the first error"), film:
        for _ in range(2):
            film.add(Figure(figsize=(2, 2)))
    assert writer.ended == 1 and not list(tmp_path.iterdir())
