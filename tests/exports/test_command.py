"""The commands `export` and `animate` on a small checkout with results."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exports.cases import hessian, line, plane, read_polydata
from lossatlas.exports.command import animate_command, export_command
from lossatlas.results import Trajectory

ROOT = Path(__file__).parents[2]


def path():
    t = np.linspace(1, 0, 4)
    return Trajectory(
        epoch=np.arange(4), path_x=t - 0.5, path_y=t, distance=t, alignment=t, captured=np.array([0.9, 0.1]),
        spectrum=np.array([0.9, 0.1]), drops=(), axes="pca",
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that is a checkout with the default settings and a few published studies."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    made = {
        "plane/resnet56/plane.h5": plane(),
        "plane/resnet20/plane.h5": plane(train_loss=2 * plane().train_loss),
        "hessian/resnet56/hessian.h5": hessian(),
        "line/resnet56/line.h5": line(),
        "trajectory/vgg9/plane.h5": plane(),
        "trajectory/vgg9/trajectory.h5": path(),
        "profile/vgg9/filter.h5": plane(),
    }
    monkeypatch.chdir(tmp_path)
    # the settings name the preset
    from lossatlas.config import load_params
    from lossatlas.paths import find_workspace

    folder = tmp_path / "artifacts" / load_params(find_workspace()).preset
    for name, result in made.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        result.save(file)
        title = {"vgg9": "VGG-9", "resnet20": "ResNet-20"}.get(file.parent.name, "ResNet-56")
        file.with_name(f"{file.parent.parent.name}.json").write_text(json.dumps({"run_title": title}))
    return folder


def test_studies_are_exported_by_kind_and_name(checkout):
    said = export_command(["plane", "resnet56"], Path("x.vtp"), log=True, scale="fit", cap=4.0)
    assert said == f"x.vtp: plane from {checkout / 'plane/resnet56/plane.h5'}"
    points, _, data, active = read_polydata(Path("x.vtp"))
    assert np.array_equal(data["train_loss"], plane().train_loss.ravel()) and active == "log10_train_loss"
    assert np.ptp(points[:, 2]) == pytest.approx(1.0)
    assert export_command(["hessian", "resnet56"], Path("h.stl"), scale="2").startswith("h.stl: hessian from")
    assert export_command(["line", "resnet56"], Path("l.h5")).startswith("l.h5: line from")


def test_of_a_trajectory_surfaces_show_the_plane_and_tables_the_path(checkout):
    assert ": plane from" in export_command(["trajectory", "vgg9"], Path("t.vtp"))
    assert ": plane from" in export_command(["trajectory", "vgg9"], Path("t.h5"))
    assert ": trajectory from" in export_command(["trajectory", "vgg9"], Path("t.nc"))


def test_files_are_exported_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plane().save("own.h5")
    assert export_command(["own.h5"], Path("li.h5")) == "li.h5: plane from own.h5"
    assert export_command(["li.h5"], Path("again.vtp")) == "again.vtp: plane from li.h5"
    assert np.array_equal(read_polydata(Path("again.vtp"))[2]["train_loss"], plane().train_loss.ravel())


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (["plane"], {}, "plane does not exist"),
        (["plane", "vgg9"], {}, "no plane vgg9 is published for preset [^ ]+; there are: resnet20, resnet56"),
        (
            ["curve", "vgg9"],
            {},
            "no curve vgg9 is published for preset [^ ]+; lossatlas stage curve vgg9 computes it",
        ),
        (["profile", "vgg9"], {}, "has no profile.h5; name one of its files instead: filter.h5"),
        (["a", "b", "c"], {}, "pass a file, or a kind and a name such as `plane resnet56`, not 'a b c'"),
        (
            ["plane", "resnet56"],
            {"scale": "tall"},
            "scale = 'tall' is impossible; allowed: a positive number, or 'fit'",
        ),
        (["line", "resnet56"], {}, r"\.vtp files hold surfaces over a plane, not a line"),
    ],
)
def test_what_is_not_there_is_named(checkout, source, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        export_command(source, Path("x.vtp"), **options)
    assert not Path("x.vtp").exists()


def test_films_of_a_trajectory_and_of_planes(checkout):
    assert animate_command("trajectory", ["vgg9"], Path("d.gif")) == "d.gif: the path of vgg9"
    assert animate_command("plane", ["resnet56", "resnet20"], Path("s.gif"), look="contours") == "s.gif: 2 planes"
    for name, count in (("d", 4), ("s", 2)):
        with Image.open(f"{name}.gif") as film:
            assert film.n_frames == count
    with pytest.raises(
        ValueError, match="animate takes `trajectory NAME` or `plane NAME NAME ...`; got 'hessian resnet56'"
    ):
        animate_command("hessian", ["resnet56"], Path("h.gif"))
    with pytest.raises(FileNotFoundError, match="no trajectory resnet56 is published"):
        animate_command("trajectory", ["resnet56"], Path("other.gif"))


def test_files_that_are_there_are_replaced_only_if_that_is_wanted(checkout):
    Path("mine.npz").write_bytes(b"mine")
    Path("mine.gif").write_bytes(b"mine")
    with pytest.raises(ValueError, match="to = 'mine.npz' is there already; choose another name, or replace it by --f"):
        export_command(["plane", "resnet56"], Path("mine.npz"))
    with pytest.raises(ValueError, match="to = 'mine.gif' is there already"):
        animate_command("plane", ["resnet56", "resnet20"], Path("mine.gif"))
    assert Path("mine.npz").read_bytes() == Path("mine.gif").read_bytes() == b"mine"
    export_command(["plane", "resnet56"], Path("mine.npz"), force=True)
    assert np.array_equal(np.load("mine.npz")["train_loss"], plane().train_loss)


def test_the_source_is_never_replaced(checkout):
    plane().save("own.h5")
    export_command(["own.h5"], Path("li.h5"))
    before = Path("li.h5").read_bytes()
    Path("link.h5").hardlink_to("li.h5")
    for name in ("li.h5", "../" + Path.cwd().name + "/li.h5", "link.h5"):
        with pytest.raises(ValueError, match="is the file that is read .li.h5.; choose another name"):
            export_command(["li.h5"], Path(name), force=True)
    assert Path("li.h5").read_bytes() == before
    with pytest.raises(ValueError, match="to = 'li.h5/x.npz' is impossible: .*/li.h5 is a file, no folder; choose"):
        export_command(["own.h5"], Path("li.h5/x.npz"))
